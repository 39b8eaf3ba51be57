/**
 * Our side of scripts/bench/againstPytorch.ts:
 *
 *   node dist/scripts/bench/stepProcess.js INPUTS.safetensors CASE THREADS [DEVICE] [STEPS_PER_RUN]
 *
 * The protocol is that of scripts/bench/pytorchStep.py: it prints {"ready"} once, then one line of JSON for each line on stdin.
 */
import { createInterface } from 'node:readline';
import { readSafetensors } from '../../src/tensor/safetensors.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { createFusedRunner } from '../../src/train/fusedRunner.js';
import { stepNames } from '../../src/train/stepConfig.js';
import { LEARNING_RATE, type StepCase, stepConfig } from './stepCase.js';

const [path, stepCase, threads, device = 'cpu', stepsPerRun = '1'] = process.argv.slice(2) as [string, string, string];
const { tensors } = await readSafetensors(path);
const config = stepConfig(JSON.parse(stepCase) as StepCase);
const start = performance.now();
const runner = await createFusedRunner(
  config,
  {
    dropPathRate: 0,
    initial: tensors,
    seed: 0,
    session: { threads: Number(threads), device: device as 'cpu' | 'cuda' },
  },
  Number(stepsPerRun),
);
console.log(JSON.stringify({ ready: (performance.now() - start) / 1e3 }));

const pick = (name: (v: number) => string): Tensor[] => config.viewSizes.map((_, v) => tensors.get(name(v))!);
const batch = { views: pick(stepNames.view), locations: pick(stepNames.locations) };
let at = 0;
for await (const _ of createInterface({ input: process.stdin })) {
  const before = performance.now();
  const steps = Array.from({ length: runner.stepsPerRun }, (_, i) => ({
    step: at + i,
    learningRate: LEARNING_RATE,
    batch,
  }));
  const [logs] = await runner.run(steps);
  const seconds = (performance.now() - before) / 1e3 / steps.length;
  const peak = Math.round(process.resourceUsage().maxRSS / 1024);
  console.log(JSON.stringify({ seconds, loss: logs!['l'], peak_memory_mb: peak }));
  at += steps.length;
}
await runner.close();
