import { access } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';

/**
 * The path itself where nothing stands there, else the first free one with a number before its extension: `log.jsonl`, `log.2.jsonl`,
 * `log.3.jsonl`. For copies of what is about to be replaced, of which there may be several.
 */
export async function freePath(path: string): Promise<string> {
  const extension = extname(path);
  const stem = join(dirname(path), basename(path, extension));
  for (let n = 1; ; n++) {
    const candidate = n === 1 ? path : `${stem}.${n}${extension}`;
    const taken = await access(candidate).then(
      () => true,
      () => false,
    );
    if (!taken) return candidate;
  }
}
