import { access } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import serveStatic from '@fastify/static';
import type { FastifyInstance } from 'fastify';

/** The folder of the pages that `npm run build` makes, dist/web. */
export const pageFolder = fileURLToPath(new URL('../../../web/', import.meta.url));

/**
 * What a page may do: load its own scripts, styles and images, and call its own origin. Nothing inline, nothing from elsewhere, no
 * frame around it.
 */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** Vite puts a hash of the contents into the names of assets: `index-BqT0lN3x.js`. */
const HASHED = /-[\w-]{8}\.\w+$/;

/**
 * Serves the files of a folder at /, without a token: the page that asks for one. Nothing is served if the folder does not have it.
 * Files with a hash in their name are cached for a year, others are checked for changes each time. There is no listing of folders,
 * and no file whose name begins with a dot.
 * @param index the page at /; other pages of the folder are not served
 * @returns whether the page is served
 */
export async function servePage(app: FastifyInstance, folder: string, index = 'index.html'): Promise<boolean> {
  const exists = await access(join(folder, index)).then(
    () => true,
    () => false,
  );
  if (!exists) return false;
  await app.register(async (scope) => {
    scope.addHook('onRoute', (route) => {
      route.config = { ...route.config, open: true };
    });
    await scope.register(serveStatic, {
      root: folder,
      prefix: '/',
      // A route for each file: paths that do not exist are answered as elsewhere, which includes the check of the token.
      wildcard: false,
      index: [index],
      allowedPath: (path) => extname(path) !== '.html' || path === `/${index}`,
      dotfiles: 'deny',
      list: false,
      cacheControl: false,
      setHeaders: (response, path) => {
        for (const [name, value] of Object.entries(fileHeaders(path))) response.setHeader(name, value);
      },
    });
  });
  return true;
}

function fileHeaders(path: string): Record<string, string> {
  return {
    'cache-control': HASHED.test(basename(path)) ? 'public, max-age=31536000, immutable' : 'no-cache',
    'content-security-policy': policy,
    'cross-origin-opener-policy': 'same-origin',
    'referrer-policy': 'no-referrer',
  };
}
