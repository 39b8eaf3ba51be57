/**
 * Measures what several steps in one run of the graph (`stepsPerRun`) change: time of a step, memory, and the bytes of state that go
 * into the session and come back for a step. Prints one JSON object.
 *
 *   node dist/scripts/bench/stepsPerRun.js [--arch convnext_atto] [--size 96] [--batch 16] [--expander 1024-1024-1024]
 *     [--projector 256-256-256] [--counts 1,2,4,8] [--rounds 5] [--threads 2] [--device cuda]
 *
 * Each number of steps has its own process. All start from the same state; their runs alternate, and each round runs the same number of steps of
 * each, so that other work on the machine slows all alike. Their losses have to be equal.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { median } from '../../src/bench/quantile.js';
import { type StepCase, stepConfig } from './stepCase.js';
import { openSide, type Side, writeStepInputs } from './stepSide.js';

/** Largest relative difference of the losses of a first run. */
const MAX_DIFFERENCE = 1e-5;

const { values } = parseArgs({
  options: {
    arch: { type: 'string', default: 'convnext_atto' },
    size: { type: 'string', default: '96' },
    batch: { type: 'string', default: '16' },
    expander: { type: 'string', default: '1024-1024-1024' },
    projector: { type: 'string', default: '256-256-256' },
    counts: { type: 'string', default: '1,2,4,8' },
    rounds: { type: 'string', default: '5' },
    threads: { type: 'string', default: '2' },
    device: { type: 'string', default: 'cpu' },
  },
});
const { arch, expander, projector, threads, device } = values;
const stepCase: StepCase = { arch, size: Number(values.size), batch: Number(values.batch), expander, projector };
const counts = values.counts.split(',').map(Number);
const most = Math.max(...counts);
if (!counts.every((count) => Number.isInteger(count) && count > 0 && most % count === 0)) {
  throw new Error(`--counts is ${values.counts}; give numbers of steps that divide the largest one`);
}

const config = stepConfig(stepCase);
const scratch = await mkdtemp(join(tmpdir(), 'vicregl-steps-'));
const sides: Side[] = [];
try {
  const inputs = join(scratch, 'inputs.safetensors');
  const stateBytes = await writeStepInputs(inputs, config);
  const program = fileURLToPath(new URL('./stepProcess.js', import.meta.url));
  for (const count of counts) {
    sides.push(
      await openSide(process.execPath, [program, inputs, JSON.stringify(stepCase), threads, device, String(count)]),
    );
  }
  const losses: number[] = [];
  for (const side of sides) losses.push((await side.step()).loss);
  for (const loss of losses) {
    if (!(Math.abs(loss - losses[0]!) <= MAX_DIFFERENCE * Math.abs(losses[0]!))) {
      throw new Error(`the losses of the first step differ: ${losses.join(', ')}`);
    }
  }
  const seconds = counts.map((): number[] => []);
  const memory = counts.map(() => 0);
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const [i, side] of sides.entries()) {
      for (let run = 0; run < most / counts[i]!; run++) {
        const answer = await side.step();
        seconds[i]!.push(answer.seconds);
        memory[i] = answer.peak_memory_mb;
      }
    }
  }
  const times = seconds.map((each) => median(each));
  console.log(
    JSON.stringify(
      {
        case: stepCase,
        device,
        threads: Number(threads),
        state_mb: Math.round(stateBytes / 1e5) / 10,
        runs: counts.map((count, i) => ({
          steps_per_run: count,
          step_ms: Math.round(times[i]! * 1e4) / 10,
          ratio: Math.round((times[i]! / times[0]!) * 1000) / 1000,
          peak_memory_mb: memory[i],
          // Into the session and back.
          state_mb_per_step: Math.round((2 * stateBytes) / count / 1e5) / 10,
        })),
      },
      null,
      2,
    ),
  );
} finally {
  for (const side of sides) side.close();
  await rm(scratch, { recursive: true });
}
