/** The engine side of engineTransport.ts: a thread or process that answers immediately. With a model, it opens its sessions first. */

import { readSync, writeSync } from 'node:fs';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { workerSetupOf } from '../../src/engine/messages.js';
import { openSessions } from '../../src/engine/sessions.js';
import { openModelFolder } from '../../src/models/folder.js';

/** Opens the model and runs it once, so that the start time includes everything until the engine can answer. */
async function open(model: string): Promise<void> {
  if (model === '') return;
  const folder = await openModelFolder(model);
  const setup = workerSetupOf(folder, { device: 'cpu', threads: 1 });
  const { sessions } = await openSessions({ ...setup, graphs: { backbone: setup.graphs.backbone } });
  const ort = await import('../../src/onnx/runtime.js');
  const images = new ort.Tensor('uint8', new Uint8Array(224 * 224 * 3), [1, 224, 224, 3]);
  await sessions.backbone.run({ images });
}

interface Request {
  readonly batch: Uint8Array;
  readonly answerBytes: number;
}

const FD = 3;

function readWhole(bytes: number): Uint8Array | undefined {
  const buffer = new Uint8Array(bytes);
  let filled = 0;
  while (filled < bytes) {
    const got = readSync(FD, buffer, filled, bytes - filled, null);
    if (got === 0) return undefined;
    filled += got;
  }
  return buffer;
}

function writeWhole(bytes: Uint8Array): void {
  let sent = 0;
  while (sent < bytes.length) sent += writeSync(FD, bytes, sent, bytes.length - sent);
}

function writeFrame(body: Uint8Array): void {
  const header = Buffer.alloc(4);
  header.writeUInt32LE(body.length);
  writeWhole(header);
  writeWhole(body);
}

async function servePipe(): Promise<void> {
  writeFrame(new Uint8Array(1));
  for (;;) {
    const header = readWhole(8);
    if (header === undefined) return;
    const view = new DataView(header.buffer);
    readWhole(view.getUint32(0, true));
    writeFrame(new Uint8Array(view.getUint32(4, true)));
    // A real engine yields here too, because its runs are asynchronous.
    await new Promise((resolve) => setImmediate(resolve));
  }
}

if (!isMainThread) {
  await open((workerData as { model: string }).model);
  parentPort!.on('message', ({ answerBytes }: Request) => {
    const answer = new Uint8Array(answerBytes);
    parentPort!.postMessage(answer, [answer.buffer]);
  });
  parentPort!.postMessage('ready');
} else {
  const [, , transport, model = ''] = process.argv;
  await open(model);
  if (transport === 'pipe') await servePipe();
  else {
    process.on('message', ({ answerBytes }: Request) => void process.send!(new Uint8Array(answerBytes)));
    process.send!('ready');
  }
}
