#!/usr/bin/env node
import { existsSync } from 'node:fs';

const main = new URL('../dist/src/cli/main.js', import.meta.url);
if (!existsSync(main)) {
  console.error('vicregl is not built yet: run "npm ci && npm run build" in the repository first.');
  process.exit(1);
}
await import(main.href);
