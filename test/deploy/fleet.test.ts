import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { long } from '../support/longTests.js';

/** The proof of docs/proofs/fleet.md with shorter connections and the TypeScript client alone. */

interface Outcome {
  readonly spreads: readonly {
    readonly after: string;
    readonly calls: Record<string, number>;
    readonly deviation: number;
  }[];
  readonly answered: number;
  readonly failures: Record<string, number>;
}

const absent = ['dnsmasq', 'haproxy', 'unshare'].filter(
  (program) => spawnSync(program, ['--version']).error !== undefined,
);
const unable =
  process.getuid?.() !== 0
    ? 'it needs root'
    : absent.length > 0 &&
      `${absent.join(', ')} is not installed (Debian: apt-get install dnsmasq-base haproxy util-linux)`;

describe('replicas that are added, stopped and lost under load', long, () => {
  for (const way of ['dns', 'haproxy']) {
    test(`behind ${way}, the others share the calls evenly, and no call fails`, { skip: unable }, () => {
      const args = ['dist/scripts/proofs/fleet.js', '--age', '4', '--only', `${way},typescript`, '--json'];
      const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
      assert.equal(status, 0, stderr + stdout);
      const [{ spreads, answered, failures }] = JSON.parse(stdout) as [Outcome];
      assert.deepEqual(failures, {});
      assert.ok(answered > 500, `${answered} calls`);
      assert.deepEqual(
        spreads.map(({ calls }) => Object.keys(calls).length),
        [2, 3, 2, 3, 2],
      );
      for (const { after, deviation } of spreads) assert.ok(deviation <= 0.1, `${after}: ${deviation}`);
    });
  }
});
