/**
 * Shows where a session spends its time: sums ONNX Runtime's profile (--profile of scripts/bench/trainingStep.ts) by operator
 * or layer, separately for forward pass, gradients and optimizer. Prints a Markdown table of milliseconds per run.
 *
 *   node dist/scripts/bench/profile.js PROFILE.json [--rows 20] [--by operator|layer]
 */
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';

interface ProfileEvent {
  readonly cat: string;
  readonly name: string;
  /** Start and duration, microseconds. */
  readonly ts: number;
  readonly dur: number;
  readonly args?: { readonly op_name?: string };
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rows: { type: 'string', default: '20' }, by: { type: 'string', default: 'operator' } },
});
const [path] = positionals;
if (path === undefined || !['operator', 'layer'].includes(values.by)) {
  throw new Error('usage: profile.js PROFILE.json [--rows 20] [--by operator|layer]');
}
const KERNEL = /_kernel_time$/;

function phaseOf(name: string): string {
  if (name.startsWith('gradient/')) return 'gradient';
  return name.startsWith('optimizer/') ? 'optimizer' : 'forward';
}

/** The scope of a node, without that of its view, such as `backbone.layer1.0`. */
function layerOf(name: string): string {
  const parts = name.replace(/^gradient\//, '').split('/');
  return parts.slice(/^view/.test(parts[0]!) ? 1 : 0, -1)[0] ?? 'other';
}

const events = JSON.parse(await readFile(path, 'utf8')) as ProfileEvent[];
// The first run is skipped, because it also allocates memory.
const runs = events.filter(({ name }) => name === 'model_run').slice(1);
if (runs.length === 0) throw new Error(`${path}: the profile must have at least two runs`);
const sums = new Map<string, { count: number; time: number }>();
let total = 0;
for (const { cat, name, ts, dur, args } of events) {
  if (cat !== 'Node' || !KERNEL.test(name) || !runs.some((run) => ts >= run.ts && ts < run.ts + run.dur)) continue;
  const node = name.replace(KERNEL, '');
  const key = `${phaseOf(node)} | ${values.by === 'operator' ? args?.op_name : layerOf(node)}`;
  const sum = sums.get(key) ?? { count: 0, time: 0 };
  sums.set(key, { count: sum.count + 1, time: sum.time + dur });
  total += dur;
}
const wall = runs.reduce((sum, { dur }) => sum + dur, 0) / runs.length / 1e3;
console.log(
  `${runs.length} runs of ${wall.toFixed(0)} ms, of which ${(total / runs.length / 1e3).toFixed(0)} in operators\n`,
);
console.log(`| phase | ${values.by} | nodes | ms | share |`);
console.log('| --- | --- | --- | --- | --- |');
const rows = [...sums].sort(([, a], [, b]) => b.time - a.time).slice(0, Number(values.rows));
for (const [key, { count, time }] of rows) {
  const each = (time / runs.length / 1e3).toFixed(1);
  console.log(`| ${key} | ${count / runs.length} | ${each} | ${((100 * time) / total).toFixed(1)} % |`);
}
