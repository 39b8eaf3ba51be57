import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A file of the built pages, ready to be sent. */
export interface StaticFile {
  readonly body: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

/** The built pages: paths such as `/assets/index-1a2b.js` with what to answer. */
export type StaticFiles = ReadonlyMap<string, StaticFile>;

/** The folder that `npm run build` fills. */
export const PAGES = fileURLToPath(new URL('../../web', import.meta.url));

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.jpg': 'image/jpeg',
  '.md': 'text/markdown; charset=utf-8',
};

/**
 * What the pages may do: run and show what their own origin serves, and ask it. No inline scripts or styles, no eval, no
 * other origin, no frame around them.
 */
export const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** Headers of every answer with a file. */
const SECURITY: Readonly<Record<string, string>> = {
  'content-security-policy': PAGE_POLICY,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
};

/**
 * Reads all files of the pages, under 300 kB: a request names a key of the map, and so cannot leave the folder.
 * @param index the page at `/`
 * @throws Error if the folder cannot be read: the package is not built.
 */
export async function readStaticFiles(folder: string, index: string): Promise<StaticFiles> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((cause: unknown) => {
    throw new Error(`the pages are not built: ${folder} cannot be read; run \`npm run build\``, { cause });
  });
  const files = new Map<string, StaticFile>();
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    const body = await readFile(file);
    const path = `/${file.slice(folder.length + 1).replaceAll(sep, '/')}`;
    // The names of built scripts and styles contain a hash of their contents.
    const cache = path.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache';
    files.set(path, {
      body,
      headers: {
        ...SECURITY,
        'content-type': TYPES[extname(file)] ?? 'application/octet-stream',
        'cache-control': cache,
        etag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`,
      },
    });
  }
  const first = files.get(`/${index}`);
  if (!first) throw new Error(`the pages are not built: ${folder} has no ${index}; run \`npm run build\``);
  files.set('/', first);
  return files;
}

/**
 * Sends a file, or 304 where the browser has it.
 * @returns whether there is a file at the path
 */
export function sendStatic(
  files: StaticFiles,
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
): boolean {
  const file = files.get(path);
  if (!file) return false;
  const known = request.headers['if-none-match'] === file.headers['etag'];
  response.writeHead(known ? 304 : 200, file.headers);
  response.end(known || request.method === 'HEAD' ? undefined : file.body);
  return true;
}
