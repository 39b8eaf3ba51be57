import assert from 'node:assert/strict';
import { appendFile, mkdtemp, readFile, rm, stat, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openMatchJournal } from './matchJournal.js';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vicregl-journal-'));
});
after(() => rm(folder, { recursive: true }));

const matches = (count: number) => ({
  source: Array.from({ length: count }, (_, i) => i),
  target: Array.from({ length: count }, (_, i) => count - i),
  distance: Array.from({ length: count }, (_, i) => i / 3),
  similarity: Array.from({ length: count }, (_, i) => 1 / (i + 1)),
});

test('what was appended is read back bit for bit, also after it was opened again', async () => {
  const path = join(folder, 'whole.jsonl');
  const journal = await openMatchJournal(path);
  // Longer than what is read at a time.
  await journal.append('a\n"ä', 'b', matches(60_000));
  await journal.append('b', 'c', { ...matches(2), homography: { absence: 'too_few_pairs' } });
  assert.deepEqual(await journal.read('a\n"ä', 'b'), matches(60_000));
  await journal.close();
  const again = await openMatchJournal(path);
  assert.deepEqual([again.has('a\n"ä', 'b'), again.has('b', 'a'), again.has('b', 'c')], [true, false, true]);
  assert.deepEqual(await again.read('a\n"ä', 'b'), matches(60_000));
  await again.append('c', 'd', matches(1));
  assert.deepEqual(await again.read('c', 'd'), matches(1));
  assert.deepEqual(await again.read('b', 'c'), { ...matches(2), homography: { absence: 'too_few_pairs' } });
  await assert.rejects(again.read('x', 'y'), RangeError);
  await again.close();
});

test('a line that was cut off at any place is dropped, and appended again', async () => {
  const path = join(folder, 'cut.jsonl');
  const first = await openMatchJournal(path);
  await first.append('a', 'b', matches(3));
  const { size } = await stat(path);
  await first.append('b', 'c', matches(4));
  await first.close();
  const whole = await readFile(path);
  for (let cut = whole.length - 1; cut >= size; cut -= 7) {
    await truncate(path, cut);
    const journal = await openMatchJournal(path);
    assert.deepEqual([journal.has('a', 'b'), journal.has('b', 'c')], [true, false], `${cut} bytes`);
    await journal.append('b', 'c', matches(4));
    await journal.close();
    assert.deepEqual(await readFile(path), whole);
  }
  await appendFile(path, 'no JSON\n{"a":"x","b":"y","source":[]}\n');
  const damaged = await openMatchJournal(path);
  assert.equal(damaged.has('x', 'y'), false, 'what follows a damaged line is not trusted');
  await damaged.close();
  assert.deepEqual(await readFile(path), whole);
});
