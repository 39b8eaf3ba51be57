/**
 * Measures the cost of transferring images to an inference engine and its answers back, for a worker thread and for child
 * processes.
 *
 *   node dist/scripts/bench/engineTransport.js [--rounds 7] [--runs 200] [--model DIR]
 *
 * The engine of this benchmark answers immediately with tensors of the right size, so that only the transport is measured.
 * Three transports:
 *   thread  worker thread; the batch is copied and transferred, the answer is transferred back
 *   ipc     child process by fork() with Node's messages (advanced serialisation)
 *   pipe    child process with frames over a socket pair: a header and the tensor's bytes, read by blocking calls
 * One batch is in flight at a time. The transports alternate in each round. Figures are medians over the rounds, per image.
 *
 * `main_ms` is the time that the event loop of the parent was busy, and so could not decode or answer requests.
 * `start_ms` (until the first answer of a real engine), `rss_mib` and `own_mib` (memory of the child, or what the thread
 * adds to the process) are measured with the sessions of the model. Prints JSON.
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
// A worker thread cannot disable telemetry by itself.
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

type Transport = 'thread' | 'ipc' | 'pipe';

/** An engine that only transfers bytes. */
interface Echo {
  /** Sends a batch and resolves with the answer, which has `answerBytes` bytes. */
  run(batch: Uint8Array, answerBytes: number): Promise<Uint8Array>;
  /** Id of the process that contains the engine. */
  readonly pid: number;
  close(): Promise<void>;
}

const script = fileURLToPath(new URL('./engineTransportWorker.js', import.meta.url));

async function startThread(model: string): Promise<Echo> {
  const worker = new Worker(script, { workerData: { transport: 'thread', model } });
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

const exited = async (child: ChildProcess): Promise<void> => {
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
      await exited(child);
    },
  };
}

async function startPipe(model: string): Promise<Echo> {
  const child = spawn(process.execPath, [script, 'pipe', model], { stdio: ['ignore', 'inherit', 'inherit', 'pipe'] });
  const socket = child.stdio[3] as import('node:net').Socket;
  let deliver: ((answer: Uint8Array) => void) | undefined;
  let header = Buffer.alloc(0);
  let body: Uint8Array | undefined;
  let filled = 0;
  socket.on('data', (chunk: Buffer) => {
    let rest = chunk;
    while (rest.length > 0) {
      if (body === undefined) {
        header = Buffer.concat([header, rest.subarray(0, 4 - header.length)]);
        rest = rest.subarray(Math.min(4, rest.length));
        if (header.length < 4) return;
        body = new Uint8Array(header.readUInt32LE());
        header = Buffer.alloc(0);
        filled = 0;
      }
      const part = rest.subarray(0, body.length - filled);
      body.set(part, filled);
      filled += part.length;
      rest = rest.subarray(part.length);
      if (filled === body.length) {
        const whole = body;
        body = undefined;
        deliver?.(whole);
      }
    }
  });
  const answer = () =>
    new Promise<Uint8Array>((resolve) => {
      deliver = resolve;
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
      await exited(child);
    },
  };
}

const starts: Record<Transport, (model: string) => Promise<Echo>> = {
  thread: startThread,
  ipc: startIpc,
  pipe: startPipe,
};
const transports = Object.keys(starts) as Transport[];

const rounded = (value: number) => Number(value.toPrecision(3));

/** Resident memory of a process in MiB, and the part of it that no other process shares. */
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

const figuresByCase: Record<string, Record<Transport, { wall: number[]; main: number[] }>> = {};
const echoes = Object.fromEntries(
  await Promise.all(transports.map(async (transport) => [transport, await starts[transport]('')] as const)),
) as Record<Transport, Echo>;
for (let round = 0; round < Number(values.rounds); round++) {
  for (const { name, images, answer } of cases) {
    const batch = new Uint8Array(images * IMAGE_BYTES).fill(7);
    for (const transport of transports) {
      for (let i = 0; i < 20; i++) await echoes[transport].run(batch, answer);
      const before = performance.eventLoopUtilization();
      const start = performance.now();
      const runs = Number(values.runs);
      for (let i = 0; i < runs; i++) {
        const got = await echoes[transport].run(batch, answer);
        if (got.byteLength !== answer) throw new Error(`${transport}: ${got.byteLength} bytes instead of ${answer}`);
      }
      figuresByCase[name] ??= Object.fromEntries(transports.map((each) => [each, { wall: [], main: [] }])) as never;
      const figures = figuresByCase[name]![transport];
      figures.wall.push((performance.now() - start) / runs / images);
      figures.main.push(performance.eventLoopUtilization(before).active / runs / images);
    }
  }
}
for (const transport of transports) await echoes[transport].close();

const engines: Record<string, unknown> = {};
for (const transport of transports) {
  const times: number[] = [];
  const memory: { rss: number; own: number }[] = [];
  for (let i = 0; i < 3; i++) {
    const before = memoryOf(process.pid);
    const start = performance.now();
    const engine = await starts[transport](values.model);
    times.push(performance.now() - start);
    const after = memoryOf(engine.pid);
    memory.push(
      transport === 'thread' ? { rss: after.rss - before.rss, own: after.own - before.own } : memoryOf(engine.pid),
    );
    await engine.close();
  }
  engines[transport] = {
    start_ms: rounded(median(times)),
    rss_mib: rounded(memory[0]!.rss),
    own_mib: rounded(memory[0]!.own),
  };
}

const perImage = Object.fromEntries(
  Object.entries(figuresByCase).map(([name, figures]) => [
    name,
    Object.fromEntries(
      transports.map((transport) => [
        transport,
        { round_trip_ms: rounded(median(figures[transport].wall)), main_ms: rounded(median(figures[transport].main)) },
      ]),
    ),
  ]),
);
console.log(JSON.stringify({ per_image: perImage, engines }, null, 2));
