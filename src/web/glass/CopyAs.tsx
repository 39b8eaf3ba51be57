import { useState } from 'preact/hooks';
import type { Program } from './program.js';
import { LANGUAGES, type Language, snippet } from './snippets.js';

/** The view's calls as code for other clients. */
export function CopyAs({ program }: { readonly program: Program | undefined }) {
  const [language, setLanguage] = useState<Language>('grpcurl');
  const [copied, setCopied] = useState('');
  if (!program) return null;
  const addresses = { http: new URL('.', document.baseURI).href, grpc: `${location.hostname}:50051` };
  const text = snippet(program, language, addresses);
  const copy = async () => {
    await navigator.clipboard.writeText(text).then(
      () => setCopied('Copied.'),
      () => setCopied('The browser does not allow to copy; select the text instead.'),
    );
  };
  return (
    <details class="copy">
      <summary>Copy as gRPC, TypeScript, Python or curl</summary>
      <fieldset class="choices">
        <legend class="hidden">Language</legend>
        {(Object.keys(LANGUAGES) as Language[]).map((each) => (
          <label key={each}>
            <input
              type="radio"
              name="language"
              checked={each === language}
              onChange={() => {
                setLanguage(each);
                setCopied('');
              }}
            />
            {LANGUAGES[each]}
          </label>
        ))}
      </fieldset>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls has to be reachable by keyboard */}
      <section class="code" tabIndex={0} aria-label={`${LANGUAGES[language]} code`}>
        <pre>{text}</pre>
      </section>
      <p class="row">
        <button type="button" onClick={copy}>
          Copy
        </button>
        <output>{copied}</output>
      </p>
    </details>
  );
}
