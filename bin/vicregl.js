#!/usr/bin/env -S node --initial-heap-size=128
// The heap of a service that answers is 25 MB, and by itself V8 collects it twice a second under load: a flag of Node, as it
// must be known before the heap is made (docs/benchmarks.md, Service).
const { existsSync } = require('node:fs');
const { join } = require('node:path');
const { pathToFileURL } = require('node:url');

// Exchanges between ranks run on libuv's threads, as decoding does, and with 4 of them they wait behind the photographs of data.workers (at
// most 64). Their number is read once, at their first use: Node's loader of ES modules uses them, so this file is CommonJS (package.json).
if (process.argv.some((word) => /^--distributed(=|$)/.test(word))) process.env.UV_THREADPOOL_SIZE ??= '68';

const main = join(__dirname, '../dist/src/cli/main.js');
if (existsSync(main)) import(pathToFileURL(main).href);
else {
  console.error('vicregl is not built yet: run "npm ci && npm run build" in the repository first.');
  process.exitCode = 1;
}
