import { readdir, readFile } from 'node:fs/promises';

/** The fenced code blocks of the documentation. */

const root = new URL('../../../', import.meta.url);

export interface Snippet {
  /** FILE:LINE of its first line. */
  readonly place: string;
  /** Language of the fence, such as `ts`. Empty for a diagram or the output of a program. */
  readonly language: string;
  readonly text: string;
  /** Reason why it is not run, from the comment `<!-- not run: REASON -->` on the line before its fence. */
  readonly notRun: string | undefined;
}

export function snippetsOf(file: string, markdown: string): Snippet[] {
  const lines = markdown.split('\n');
  const snippets: Snippet[] = [];
  for (let i = 0; i < lines.length; i++) {
    const fence = /^(\s*)```(\w*)\s*$/.exec(lines[i]!);
    if (!fence) continue;
    const end = lines.findIndex((line, at) => at > i && line.trim() === '```');
    if (end < 0) throw new Error(`${file}:${i + 1}: the block has no end`);
    const notRun = /^\s*<!-- not run: (.+) -->\s*$/.exec(lines[i - 1] ?? '')?.[1];
    const text = lines.slice(i + 1, end).map((line) => line.slice(fence[1]!.length));
    snippets.push({ place: `${file}:${i + 2}`, language: fence[2]!, text: text.join('\n'), notRun });
    i = end;
  }
  return snippets;
}

/** The Markdown files for users, with paths from the root: README.md, CONTRIBUTING.md, SECURITY.md, and docs/ with its folders. */
export async function documents(): Promise<{ readonly file: string; readonly text: string }[]> {
  const below = await readdir(new URL('docs/', root), { recursive: true });
  const docs = below.filter((name) => name.endsWith('.md')).sort();
  const files = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', ...docs.map((name) => `docs/${name}`)];
  return Promise.all(files.map(async (file) => ({ file, text: await readFile(new URL(file, root), 'utf8') })));
}

/** All blocks of these files. */
export async function allSnippets(): Promise<Snippet[]> {
  return (await documents()).flatMap(({ file, text }) => snippetsOf(file, text));
}

/** The commands of a shell block, without prompts, output, comments and line continuations. */
export function commandsOf(text: string): string[] {
  const lines = text.replace(/\\\n\s*/g, ' ').split('\n');
  const prompted = lines.filter((line) => line.startsWith('$ '));
  const typed = prompted.length > 0 ? prompted.map((line) => line.slice(2)) : lines;
  return typed.map((line) => line.replace(/(^|\s)#.*$/, '').trim()).filter((line) => line !== '');
}

/** The words of one command. Quoted words stay together. */
export function wordsOf(command: string): string[] {
  const words = command.matchAll(/(?:[^\s"']+|"[^"]*"|'[^']*')+/g);
  return [...words].map(([word]) => word.replace(/["']/g, ''));
}
