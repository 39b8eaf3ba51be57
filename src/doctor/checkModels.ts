import { openModelFolder } from '../models/folder.js';
import { error, type Finding, ok, size } from './finding.js';

const CHECK = 'models';

/**
 * Whether the files of the configured models are those of their manifests, by size and sha256.
 * @param find the folder of a model by path or name
 */
export async function checkModels(
  names: readonly string[],
  find: (name: string) => Promise<string>,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const name of names) {
    try {
      const { dir, manifest } = await openModelFolder(await find(name));
      const files = Object.values(manifest.files);
      const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
      findings.push(
        ok(CHECK, `${manifest.name}@${manifest.version}: ${files.length} files, ${size(bytes)}, as listed: ${dir}`),
      );
    } catch (thrown) {
      const message = thrown instanceof Error ? thrown.message : String(thrown);
      findings.push(
        error(
          CHECK,
          `${name} cannot be served`,
          `${message.replace(/\s*\n\s*/g, '; ')}. The service does not start with it. "npx vicregl models list" shows what is there, and ` +
            '"npx vicregl models verify" checks the outputs of a folder, too.',
        ),
      );
    }
  }
  return findings;
}
