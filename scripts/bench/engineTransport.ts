/**
 * What it costs to hand images to an inference engine and to fetch its answers: a worker thread beside child processes.
 *
 *   node dist/scripts/bench/engineTransport.js [--rounds 7] [--runs 200] [--model DIR]
 *
 * The engine here answers at once with tensors of the right size, so that the transport stands alone. Three ways:
 *   thread  worker thread; the batch is copied and moved over, the answer moved back
 *   ipc     child process by fork() with Node's own messages (advanced serialisation)
 *   pipe    child process with frames over a socket pair: a JSON head and the tensor's bytes, read by blocking calls
 * Round trips of one batch at a time; the ways take turns in each round, figures are medians over the rounds, by image.
 * `main_ms` is the time that the event loop of the parent was busy: what is taken from decoding and answering.
 * `start_ms` (to the first answer of a real engine) and `memory_mib` (of the process, or of the child beside its parent)
 * are measured with the model's own sessions. Prints JSON.
 */

import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { median } from '../../src/bench/quantile.js';
import { bundledModelFolder } from '../../src/cli/defaults.js';
// The worker thread cannot switch telemetry off by itself.
import '../../src/onnx/telemetry.js';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    runs: { type: 'string', default: '200' },
    model: {
      type: 'string',
      default: bundledModelFolder,
    },
  },
});

type Way = 'thread' | 'ipc' | 'pipe';

/** One echoing engine: `run` sends that many bytes and resolves with the answer's bytes. */
interface Echo {
  /** Sends a batch; the answer has `answerBytes` bytes. */
  run(batch: Uint8Array, answerBytes: number): Promise<Uint8Array>;
  /** Process whose memory the engine is in. */
  readonly pid: number;
  close(): Promise<void>;
}

const script = fileURLToPath(new URL('./engineTransportWorker.js', import.meta.url));

async function startThread(model: string): Promise<Echo> {
  const worker = new Worker(script, { workerData: { way: 'thread', model } });
  await once(worker, 'message');
  return {
    pid: process.pid,
    async run(batch, answerBytes) {
      const copy = new Uint8Array(batch);
      worker.postMessage({ batch: copy, answerBytes }, [copy.buffer]);
      const [answer] = (await once(worker, 'message')) as [Uint8Array];
      return answer;
    },
    async close() {
      await worker.terminate();
    },
  };
}

const ended = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode === null) await once(child, 'exit');
};

async function startIpc(model: string): Promise<Echo> {
  const child = fork(script, ['ipc', model], { serialization: 'advanced' });
  await once(child, 'message');
  return {
    pid: child.pid!,
    async run(batch, answerBytes) {
      child.send({ batch, answerBytes });
      const [answer] = (await once(child, 'message')) as [Uint8Array];
      return answer;
    },
    async close() {
      child.disconnect();
      await ended(child);
    },
  };
}

async function startPipe(model: string): Promise<Echo> {
  const child = spawn(process.execPath, [script, 'pipe', model], { stdio: ['ignore', 'inherit', 'inherit', 'pipe'] });
  const socket = child.stdio[3] as import('node:net').Socket;
  let take: ((answer: Uint8Array) => void) | undefined;
  let head = Buffer.alloc(0);
  let body: Uint8Array | undefined;
  let filled = 0;
  socket.on('data', (chunk: Buffer) => {
    let rest = chunk;
    while (rest.length > 0) {
      if (body === undefined) {
        head = Buffer.concat([head, rest.subarray(0, 4 - head.length)]);
        rest = rest.subarray(Math.min(4, rest.length));
        if (head.length < 4) return;
        body = new Uint8Array(head.readUInt32LE());
        head = Buffer.alloc(0);
        filled = 0;
      }
      const part = rest.subarray(0, body.length - filled);
      body.set(part, filled);
      filled += part.length;
      rest = rest.subarray(part.length);
      if (filled === body.length) {
        const whole = body;
        body = undefined;
        take?.(whole);
      }
    }
  });
  const answer = () =>
    new Promise<Uint8Array>((resolve) => {
      take = resolve;
    });
  await answer();
  return {
    pid: child.pid!,
    run(batch, answerBytes) {
      const next = answer();
      const frame = Buffer.alloc(8);
      frame.writeUInt32LE(batch.length, 0);
      frame.writeUInt32LE(answerBytes, 4);
      socket.cork();
      socket.write(frame);
      socket.write(batch);
      socket.uncork();
      return next;
    },
    async close() {
      socket.end();
      await ended(child);
    },
  };
}

const starts: Record<Way, (model: string) => Promise<Echo>> = { thread: startThread, ipc: startIpc, pipe: startPipe };
const ways = Object.keys(starts) as Way[];

const rounded = (value: number) => Number(value.toPrecision(3));

/** Resident memory in MiB, and the part of it that no other process shares. */
function memoryOf(pid: number): { rss: number; own: number } {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const kib = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0);
  return { rss: kib('Rss') / 1024, own: (kib('Private_Clean') + kib('Private_Dirty')) / 1024 };
}

const IMAGE_BYTES = 224 * 224 * 3;
const cases = [
  { name: 'vector, batch 1', images: 1, answer: 320 * 4 },
  { name: 'map, batch 1', images: 1, answer: 400_000 },
  { name: 'vector, batch 8', images: 8, answer: 8 * 320 * 4 },
  { name: 'map, batch 8', images: 8, answer: 8 * 400_000 },
];

const transport: Record<string, Record<Way, { wall: number[]; main: number[] }>> = {};
const echoes = Object.fromEntries(
  await Promise.all(ways.map(async (way) => [way, await starts[way]('')] as const)),
) as Record<Way, Echo>;
for (let round = 0; round < Number(values.rounds); round++) {
  for (const { name, images, answer } of cases) {
    const batch = new Uint8Array(images * IMAGE_BYTES).fill(7);
    for (const way of ways) {
      for (let i = 0; i < 20; i++) await echoes[way].run(batch, answer);
      const before = performance.eventLoopUtilization();
      const start = performance.now();
      const runs = Number(values.runs);
      for (let i = 0; i < runs; i++) {
        const got = await echoes[way].run(batch, answer);
        if (got.byteLength !== answer) throw new Error(`${way}: ${got.byteLength} bytes in place of ${answer}`);
      }
      transport[name] ??= Object.fromEntries(ways.map((each) => [each, { wall: [], main: [] }])) as never;
      const figures = transport[name]![way];
      figures.wall.push((performance.now() - start) / runs / images);
      figures.main.push(performance.eventLoopUtilization(before).active / runs / images);
    }
  }
}
for (const way of ways) await echoes[way].close();

const engines: Record<string, unknown> = {};
for (const way of ways) {
  const times: number[] = [];
  const memory: { rss: number; own: number }[] = [];
  for (let i = 0; i < 3; i++) {
    const before = memoryOf(process.pid);
    const start = performance.now();
    const engine = await starts[way](values.model);
    times.push(performance.now() - start);
    const after = memoryOf(engine.pid);
    memory.push(way === 'thread' ? { rss: after.rss - before.rss, own: after.own - before.own } : memoryOf(engine.pid));
    await engine.close();
  }
  engines[way] = {
    start_ms: rounded(median(times)),
    rss_mib: rounded(memory[0]!.rss),
    own_mib: rounded(memory[0]!.own),
  };
}

const perImage = Object.fromEntries(
  Object.entries(transport).map(([name, figures]) => [
    name,
    Object.fromEntries(
      ways.map((way) => [
        way,
        { round_trip_ms: rounded(median(figures[way].wall)), main_ms: rounded(median(figures[way].main)) },
      ]),
    ),
  ]),
);
console.log(JSON.stringify({ per_image: perImage, engines }, null, 2));
