/**
 * The loss of VICRegL on several ranks beside torch.distributed (gloo), on the inputs of the golden files.
 *
 *   node dist/scripts/proofs/gatheredLoss.js [--python /usr/bin/python3] [--json]
 *
 * Our side gathers the rows of all ranks by the collectives of training, and every rank computes the loss of the whole batch and the gradient
 * of its own rows. PyTorch's side (gathered_loss.py) gathers with gradients and averages over processes, as the authors' code does. Needs
 * Debian's python3-torch. Prints a Markdown table (docs/proofs/distributed.md), and fails where a difference is larger than its limit.
 */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Collectives } from '../../src/distributed/collectives.js';
import { createInMemoryGroup } from '../../src/distributed/inMemory.js';
import { encodeModel } from '../../src/onnx/encode.js';
import { createSession, runSession } from '../../src/onnx/session.js';
import { rows, type Tensor, zeros } from '../../src/tensor/tensor.js';
import { vicreglLoss } from '../../src/vicregl/loss.js';
import { type GoldenFile, openGolden } from '../../test/golden/goldenFile.js';
import { goldenLossConfig, goldenViews, outputLoss } from '../../test/golden/goldenLoss.js';
import { relativeError } from '../../test/support/graphs.js';

const { values: flags } = parseArgs({
  options: { python: { type: 'string', default: '/usr/bin/python3' }, json: { type: 'boolean', default: false } },
});
const SCRIPT = fileURLToPath(new URL('../../../scripts/proofs/gathered_loss.py', import.meta.url));
/** Golden files, and numbers of ranks that divide their batches. */
const CASES = { criterion_two_views: [1, 2, 4], criterion_two_views_top_gamma: [2], criterion_multicrop: [2, 3] };
const LIMITS = { loss: 1e-5, gradients: 1e-4 };

interface Result {
  readonly loss: number;
  /** By the name of the golden file's tensor, of the whole batch. */
  readonly gradients: Readonly<Record<string, ArrayLike<number>>>;
}

/** What one rank computes from its own rows: the loss of the whole batch, and its own rows' gradients. */
async function rankOf(golden: GoldenFile, { rank, size, allGather }: Collectives): Promise<Map<string, Tensor>> {
  const { graph, feeds, views } = goldenViews(golden);
  for (const [name, whole] of feeds) {
    const count = whole.shape[0]! / size;
    const gathered = zeros('float32', whole.shape);
    const own = rows(whole, rank * count, (rank + 1) * count).data as Float32Array;
    gathered.data.set(own, rank * own.length);
    await allGather(gathered.data);
    feeds.set(name, gathered);
  }
  outputLoss(graph, vicreglLoss(views, goldenLossConfig(golden)).total, views);
  const session = await createSession(encodeModel(graph), { threads: 1 });
  try {
    const results = await runSession(session, feeds);
    return new Map(
      [...results].map(([name, value]) => {
        const count = (value.shape[0] ?? 1) / size;
        return [name, name === 'loss' ? value : rows(value, rank * count, (rank + 1) * count)];
      }),
    );
  } finally {
    await session.release();
  }
}

async function ours(golden: GoldenFile, ranks: number): Promise<Result> {
  const each = await Promise.all(createInMemoryGroup(ranks).map((collectives) => rankOf(golden, collectives)));
  const names = [...each[0]!.keys()].filter((name) => name !== 'loss');
  return {
    loss: Number(each[0]!.get('loss')!.data[0]),
    gradients: Object.fromEntries(
      names.map((name) => [name, each.flatMap((results) => Array.from(results.get(name)!.data, Number))]),
    ),
  };
}

const table = [];
for (const [file, counts] of Object.entries(CASES)) {
  const golden = await openGolden(file);
  for (const ranks of counts) {
    const text = execFileSync(flags.python, [SCRIPT, `test/golden/${file}.safetensors`, String(ranks)], {
      encoding: 'utf8',
    });
    const theirs = JSON.parse(text) as Result;
    const own = await ours(golden, ranks);
    table.push({
      file,
      ranks,
      loss: Math.abs(own.loss / theirs.loss - 1),
      gradients: Math.max(
        ...Object.entries(own.gradients).map(([name, values]) => relativeError(values, theirs.gradients[name]!)),
      ),
      fromGolden: Math.abs(theirs.loss / golden.scalar('loss') - 1),
    });
  }
}
if (flags.json) {
  console.log(JSON.stringify(table));
} else {
  console.log('| inputs | ranks | loss | gradients | gloo from the golden file |\n| --- | --- | --- | --- | --- |');
  for (const { file, ranks, loss, gradients: of, fromGolden } of table) {
    const cells = [loss, of, fromGolden].map((value) => value.toExponential(1));
    console.log(`| \`${file}\` | ${ranks} | ${cells.join(' | ')} |`);
  }
}
// A difference that is not a number is none that is small.
const failed = table.filter((row) => !(row.loss <= LIMITS.loss && row.gradients <= LIMITS.gradients));
if (failed.length > 0) {
  console.error(`different: ${failed.map(({ file, ranks }) => `${file} on ${ranks} ranks`).join('; ')}`);
  process.exitCode = 1;
}
