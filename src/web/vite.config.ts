import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const inFolder = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** Builds both pages into dist/web. Their policy forbids inline scripts and styles, and so nothing is inlined. */
export default defineConfig({
  root: inFolder('.'),
  base: './',
  logLevel: 'warn',
  build: {
    outDir: inFolder('../../dist/web'),
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    // The notices of the libraries in the bundles (MIT), which minification removes.
    license: { fileName: 'licenses.md' },
    rolldownOptions: { input: [inFolder('index.html'), inFolder('runs.html')] },
  },
});
