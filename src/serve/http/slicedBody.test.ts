import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { until } from '../../../test/support/until.js';
import { SLICE_BYTES } from '../dispatch/writeStall.js';
import { slicesOf } from './slicedBody.js';

test('a body in slices is the same body, as bytes or as text', async () => {
  const bytes = Buffer.from(Uint8Array.from({ length: 2 * SLICE_BYTES + 7 }, (_, i) => (i * 7919) % 251));
  const text = 'é'.repeat(SLICE_BYTES);
  for (const [body, expected] of [
    [bytes, bytes],
    [new Uint8Array(bytes), bytes],
    [text, Buffer.from(text)],
  ] as const) {
    const parts: Buffer[] = [];
    for await (const part of slicesOf(body, () => {})) parts.push(part as Buffer);
    assert.ok(Buffer.concat(parts).equals(expected));
    assert.ok(parts.every(({ byteLength }) => byteLength <= SLICE_BYTES));
  }
});

test('slices are made as they are taken: a writer that takes nothing has two or three', async () => {
  let made = 0;
  let go: (() => void) | undefined;
  const writer = new Writable({
    highWaterMark: 1,
    write(_part, _encoding, done) {
      go = done;
    },
  });
  const written = pipeline(
    slicesOf(Buffer.alloc(20 * SLICE_BYTES), () => made++),
    writer,
  );
  for (let taken = 0; taken < 20; taken++) {
    await until(() => go !== undefined);
    await setImmediate();
    assert.ok(made > taken && made <= taken + 3, `${made} made, ${taken} taken`);
    const next = go!;
    go = undefined;
    next();
  }
  await written;
});
