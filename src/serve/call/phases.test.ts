import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPhaseRecorder } from './phases.js';

function recorded() {
  const reports: [string, number][] = [];
  const recorder = createPhaseRecorder((phase, seconds) => reports.push([phase, seconds]));
  return { reports, recorder };
}

test('a phase is reported as it ends, once for each image; encode once for the message, as the sum of its parts', () => {
  const { reports, recorder } = recorded();
  recorder.observe('decode', 1);
  recorder.observe('encode', 2);
  recorder.observe('decode', 3);
  recorder.observe('encode', 4);
  assert.deepEqual(reports, [
    ['decode', 1],
    ['decode', 3],
  ]);
  recorder.finish();
  recorder.finish();
  assert.deepEqual(reports.slice(2), [['encode', 6]], 'a second end reports nothing again');
  assert.deepEqual(Object.fromEntries(recorder.seconds), { decode: 4, encode: 6 });
});

test('each item of a stream has sums and reports of its own, and the stream has the sums of all', () => {
  const { reports, recorder } = recorded();
  const [first, second] = [recorder.forItem(), recorder.forItem()];
  first.observe('encode', 1);
  second.observe('encode', 2);
  first.observe('encode', 3);
  first.finish();
  second.finish();
  assert.deepEqual(reports, [
    ['encode', 4],
    ['encode', 2],
  ]);
  assert.deepEqual(
    [first, second, recorder].map(({ seconds }) => seconds.get('encode')),
    [4, 2, 6],
  );
  recorder.finish();
  assert.equal(reports.length, 2, 'what the items reported is not reported again');
});

test('a trace gets every part of a phase when it ends, without what it has got before; items have traces of their own', () => {
  const traced: string[] = [];
  const traceAs = (name: string) => ({
    phase: (phase: string, seconds: number, run?: { readonly spanId: string }) =>
      void traced.push(`${name} ${phase} ${seconds} ${run?.spanId}`),
  });
  const recorder = createPhaseRecorder(() => {}, traceAs('call'));
  recorder.observe('encode', 1);
  recorder.observe('encode', 2);
  recorder.observe('queue', 5, { recent: 3 });
  recorder.observe('inference', 4, { run: { traceId: 't', spanId: 'r', sampled: true } });
  recorder.finish();
  const item = recorder.forItem(traceAs('item'));
  item.observe('decode', 6);
  recorder.forItem().observe('decode', 7);
  assert.deepEqual(traced, [
    'call encode 1 undefined',
    'call encode 2 undefined',
    'call queue 3 undefined',
    'call inference 4 r',
    'item decode 6 undefined',
  ]);
  assert.equal(recorder.seconds.get('queue'), 5);
});
