/**
 * Compares the training step with the same step in PyTorch (scripts/bench/pytorchStep.py): time, memory, and the share of
 * the machine's MatMul rate. Prints one JSON object.
 *
 *   node dist/scripts/bench/againstPytorch.js [--arch resnet50] [--size 224] [--batch 8] [--expander 2048-2048-2048]
 *     [--projector 512-512-512] [--steps 5] [--threads 2] [--python /usr/bin/python3] [--channels-last]
 *     [--device cuda] [--steps-per-run 8] [--full-float32] [--pytorch-steps N] [--precision bf16]
 *
 * Both sides start from the same weights and inputs, each in its own process. Their steps alternate, so that other work on
 * the machine slows both alike. Every round also measures the MatMul rate.
 *
 * The losses of the first step must agree within 1e-4, on CUDA within 1e-2, because there both sides multiply in TF32.
 * --full-float32 applies to PyTorch only: onnxruntime-node has no such option. Without PyTorch, only our side runs.
 *
 * --precision bf16 or fp16 compares with PyTorch's autocast (and its GradScaler, for fp16). On the CPU, we have no bf16, and PyTorch has no
 * fp16. On a GPU, the memory is also what the card has in use after each side's first step.
 *
 * Where one PyTorch step takes minutes, --pytorch-steps makes it run fewer steps than ours. With 0, its time is that of the
 * first step, which otherwise only warms up and is compared.
 */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { median } from '../../src/bench/quantile.js';
import { modelFlops } from '../../src/train/flops.js';
import { precisionProblem } from '../../src/train/precision.js';
import { matmulRate } from './matmulRate.js';
import { precisionOf, type StepCase, stepConfig } from './stepCase.js';
import { openSide, type Side, type StepAnswer, writeStepInputs } from './stepSide.js';

const MAX_DIFFERENCE = { cpu: 1e-4, cuda: 1e-2 } as const;
/** Two programs round to 16 bits in different places. */
const MAX_HALF_DIFFERENCE = 3e-2;

const { values } = parseArgs({
  options: {
    arch: { type: 'string', default: 'resnet50' },
    size: { type: 'string', default: '224' },
    batch: { type: 'string', default: '8' },
    expander: { type: 'string', default: '2048-2048-2048' },
    projector: { type: 'string', default: '512-512-512' },
    steps: { type: 'string', default: '5' },
    threads: { type: 'string', default: '2' },
    python: { type: 'string', default: '/usr/bin/python3' },
    'channels-last': { type: 'boolean', default: false },
    device: { type: 'string', default: 'cpu' },
    'steps-per-run': { type: 'string', default: '1' },
    'full-float32': { type: 'boolean', default: false },
    'pytorch-steps': { type: 'string' },
    precision: { type: 'string', default: 'fp32' },
  },
});
const { arch, expander, projector, threads, device } = values;
if (device !== 'cpu' && device !== 'cuda') throw new Error(`--device is ${device}; it is cpu or cuda`);
const precision = precisionOf(values.precision);
const problem = precisionProblem(precision, device);
if (problem !== undefined) throw new Error(problem);
const stepCase: StepCase = {
  ...{ arch, size: Number(values.size), batch: Number(values.batch), expander, projector },
  ...(precision !== 'fp32' && { precision }),
};
const config = stepConfig(stepCase);

/** Memory in use on the first card in MB, by all processes; undefined without one. */
function cardMemoryMb(): number | undefined {
  if (device === 'cpu') return undefined;
  const query = ['--id=0', '--query-gpu=memory.used', '--format=csv,noheader,nounits'];
  const { status, stdout } = spawnSync('nvidia-smi', query, { encoding: 'utf8' });
  return status === 0 ? Number(stdout) : undefined;
}

/** What a side has taken on the card by its first step. */
async function firstStepOf(side: Side | undefined, before: number | undefined) {
  const answer = await side?.step();
  const after = cardMemoryMb();
  const card = before === undefined || after === undefined ? {} : { card_memory_mb: after - before };
  return { answer, card: side === undefined ? {} : card, after };
}

const pytorch = spawnSync(values.python, ['-c', 'import torch, numpy'], { encoding: 'utf8' });
const hasPytorch = pytorch.status === 0;
if (!hasPytorch) {
  const reason = pytorch.error?.message ?? pytorch.signal ?? pytorch.stderr.trim().split('\n').at(-1);
  console.error(`${values.python} has no torch and numpy (Debian: python3-torch): only our side runs (${reason})`);
}

const isComparable = hasPytorch && !(precision === 'fp16' && device === 'cpu');
if (hasPytorch && !isComparable) console.error('PyTorch trains in fp16 on a GPU only: only our side runs');

// Node exits without a message on a signal. It also does when no event is pending, even if a promise is still awaited.
let printed = false;
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  process.once(signal, () => {
    console.error(`stopped by ${signal} before the result`);
    process.exit(1);
  });
}
process.on('exit', (code) => {
  if (!printed && (code === 0 || code === 13)) {
    console.error('exited without a result: a side neither answered nor exited');
    process.exitCode = 1;
  }
});

const folder = await mkdtemp(join(tmpdir(), 'vicregl-bench-'));
try {
  const inputs = join(folder, 'inputs.safetensors');
  await writeStepInputs(inputs, config);
  const stepProcess = fileURLToPath(new URL('stepProcess.js', import.meta.url));
  const before = cardMemoryMb();
  const ours = await openSide(process.execPath, [
    stepProcess,
    inputs,
    JSON.stringify(stepCase),
    threads,
    device,
    values['steps-per-run'],
  ]);
  const script = fileURLToPath(new URL('../../../scripts/bench/pytorchStep.py', import.meta.url));
  const options = [
    ...['--device', device],
    ...(values['channels-last'] ? ['--channels-last'] : []),
    ...(values['full-float32'] ? ['--full-float32'] : []),
  ];

  // The first step of each side is compared. It is not timed, because it also warms up.
  const theirSteps = Number(values['pytorch-steps'] ?? values.steps);
  const { answer: ourAnswer, card: ourCard, after } = await firstStepOf(ours, before);
  const ourFirst = ourAnswer!;
  const theirs = isComparable
    ? await openSide(values.python, [script, inputs, '--threads', threads, ...options])
    : undefined;
  const { answer: theirFirst, card: theirCard } = await firstStepOf(theirs, after);
  const times: { rate: number[]; ours: StepAnswer[]; theirs: StepAnswer[] } = { rate: [], ours: [], theirs: [] };
  for (let round = 0; round < Number(values.steps); round++) {
    if (device === 'cpu') times.rate.push(await matmulRate(Number(threads), 5));
    times.ours.push(await ours.step());
    if (theirs && round < theirSteps) times.theirs.push(await theirs.step());
  }
  ours.close();
  theirs?.close();
  if (theirFirst && times.theirs.length === 0) times.theirs.push(theirFirst);

  const seconds = median(times.ours.map((answer) => answer.seconds));
  const flops = modelFlops(config.model, config.viewSizes) * 3 * stepCase.batch;
  const memory = times.ours.at(-1)!.peak_memory_mb;
  const result: Record<string, unknown> = {
    ...stepCase,
    device,
    threads: Number(threads),
    ...(values['steps-per-run'] !== '1' && { steps_per_run: Number(values['steps-per-run']) }),
    build_and_session_s: Number((ours.ready['ready'] as number).toFixed(1)),
    step_s: Number(seconds.toFixed(3)),
    step_gflops: Math.round(flops / seconds / 1e9),
    ...(device === 'cpu' && {
      matmul_gflops: Math.round(median(times.rate) / 1e9),
      share_of_matmul_rate: Number((flops / seconds / median(times.rate)).toFixed(3)),
    }),
    peak_memory_mb: memory,
    ...ourCard,
    loss: ourFirst.loss,
  };
  if (theirs && theirFirst) {
    const theirSeconds = median(times.theirs.map((answer) => answer.seconds));
    const theirMemory = times.theirs.at(-1)!.peak_memory_mb;
    const difference = Math.abs(ourFirst.loss - theirFirst.loss) / Math.abs(theirFirst.loss);
    result['pytorch'] = {
      version: theirs.ready['version'],
      step_s: Number(theirSeconds.toFixed(3)),
      peak_memory_mb: theirMemory,
      ...theirCard,
      loss: theirFirst.loss,
    };
    result['loss_difference'] = Number(difference.toExponential(1));
    result['time_ratio'] = Number((seconds / theirSeconds).toFixed(3));
    if (device === 'cpu') result['memory_ratio'] = Number((memory / theirMemory).toFixed(2));
    if (!(difference <= (precision === 'fp32' ? MAX_DIFFERENCE[device] : MAX_HALF_DIFFERENCE))) {
      console.error(`the losses of the first step differ: ${ourFirst.loss} and ${theirFirst.loss}`);
      process.exitCode = 1;
    }
  }
  console.log(JSON.stringify(result));
  printed = true;
} finally {
  await rm(folder, { recursive: true });
}
