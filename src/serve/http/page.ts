import { access } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import serveStatic from '@fastify/static';
import type { FastifyInstance } from 'fastify';

/** The folder of the page that `npm run build` makes, dist/web. */
export const pageFolder = fileURLToPath(new URL('../../../web/', import.meta.url));

/**
 * What the page may do: load its own scripts, styles and images, call its own origin, and show images that it made. Nothing inline,
 * nothing from elsewhere, no frame around it.
 */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob: data:",
  "connect-src 'self'",
  "font-src 'self'",
  "manifest-src 'self'",
  "worker-src 'self' blob:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** Vite puts a hash of the contents into the names of assets: `index-BqT0lN3x.js`. */
const HASHED = /-[\w-]{8}\.\w+$/;

/**
 * Serves the files of a folder at /, without a token: the page that asks for one. Nothing is served if the folder has no index.html.
 * Files with a hash in their name are cached for a year, others are checked for changes each time. There is no listing of folders,
 * and no file whose name begins with a dot.
 */
export async function servePage(app: FastifyInstance, folder: string): Promise<void> {
  const exists = await access(join(folder, 'index.html')).then(
    () => true,
    () => false,
  );
  if (!exists) return;
  await app.register(async (scope) => {
    scope.addHook('onRoute', (route) => {
      route.config = { ...route.config, open: true };
    });
    await scope.register(serveStatic, {
      root: folder,
      prefix: '/',
      index: ['index.html'],
      dotfiles: 'ignore',
      list: false,
      cacheControl: false,
      setHeaders: (reply, path) => void reply.headers(fileHeaders(path)),
    });
  });
}

function fileHeaders(path: string): Record<string, string> {
  return {
    'cache-control': HASHED.test(basename(path)) ? 'public, max-age=31536000, immutable' : 'no-cache',
    'content-security-policy': policy,
    'cross-origin-opener-policy': 'same-origin',
    'referrer-policy': 'no-referrer',
  };
}
