#!/usr/bin/env -S node --initial-heap-size=128
// The heap of a service that answers is 25 MB, and by itself V8 collects it twice a second under load: a flag of Node, as it
// must be known before the heap is made (docs/benchmarks.md, Service).
import { existsSync } from 'node:fs';

const main = new URL('../dist/src/cli/main.js', import.meta.url);
if (!existsSync(main)) {
  console.error('vicregl is not built yet: run "npm ci && npm run build" in the repository first.');
  process.exit(1);
}
await import(main.href);
