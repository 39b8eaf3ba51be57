import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it, type TestContext } from 'node:test';
import sharp from 'sharp';
import { until } from '../../test/support/until.js';
import { defaultImageLimits } from '../image/decode.js';
import type { WantedInput } from '../image/decodeInput.js';
import { defaultOutputLimits } from '../image/resize.js';
import { type DecodeProcessOptions, startDecodeProcesses } from './decodeProcesses.js';
import type { Decoder } from './decoder.js';
import { createLocalDecoder } from './localDecoder.js';

const photo = await readFile(new URL('../../../test/fixtures/photos/coffee.jpg', import.meta.url));
const limits = { image: defaultImageLimits, output: defaultOutputLimits };
const wanted: WantedInput = { policy: { kind: 'shortestSide', resize: 256, crop: 224 }, stride: 32, limits };
const notAborted = new AbortController().signal;
const testTimeout = { timeout: 120_000 };

const only = (decoder: Decoder): number => decoder.status!.workers[0]!.pid!;

/** Starts one process and collects its log. */
async function startOne(t: TestContext, options: Partial<DecodeProcessOptions> = {}) {
  const logged: string[] = [];
  const decoder = await startDecodeProcesses({
    processes: 1,
    seconds: 60,
    log: (line) => logged.push(line),
    ...options,
  });
  t.after(async () => {
    decoder.terminate();
    await decoder.close();
  });
  return { decoder, logged };
}

describe('decode processes', () => {
  let shared: Decoder;
  before(async () => {
    shared = await startDecodeProcesses({ processes: 1, seconds: 60, log: () => {} });
  });
  after(() => shared.close());

  it('give the same results as the local decoder for files, raw pixels, crops and masks', testTimeout, async () => {
    const local = createLocalDecoder();
    const raw = { width: 40, height: 30, data: Uint8Array.from({ length: 3600 }, (_, i) => (i * 7) % 256) };
    const crop = { left: 3, top: 5, width: 31, height: 20, flip: true };
    for (const [picture, way] of [
      [{ encoded: photo }, wanted],
      [{ encoded: photo }, { ...wanted, crop: { ...crop, left: 300 } }],
      [{ raw }, wanted],
      [{ raw }, { ...wanted, crop, policy: { kind: 'native' } }],
    ] as const) {
      assert.deepEqual(await shared.input(picture, way, notAborted), await local.input(picture, way, notAborted));
    }
    const size = { width: 50, height: 20 };
    const values = Uint8Array.from({ length: 1000 }, (_, i) => (i % 3 === 0 ? 0 : i % 256));
    const png = await sharp(values, { raw: { ...size, channels: 1 } })
      .toColourspace('b-w')
      .png()
      .toBuffer();
    const { data } = await shared.mask(png, size, notAborted);
    assert.deepEqual(
      [...data].map((value) => value !== 0),
      [...values].map((value) => value !== 0),
    );
  });

  it('give the same errors as the local decoder', testTimeout, async () => {
    for (const [picture, way] of [
      [{ encoded: photo.subarray(0, 5000) }, wanted],
      [{ encoded: Buffer.from('<svg/>') }, wanted],
      [{ encoded: photo }, { ...wanted, policy: { kind: 'fit', width: 33, height: 32 } }],
      [{ encoded: photo }, { ...wanted, limits: { ...limits, image: { ...limits.image, imagePixels: 1000 } } }],
      [{ raw: { width: 2, height: 2, data: new Uint8Array(11) } }, wanted],
    ] as const) {
      const error = await createLocalDecoder()
        .input(picture, way, notAborted)
        .catch((error: unknown) => error);
      assert.ok(error instanceof Error);
      const { name, message } = error;
      await assert.rejects(shared.input(picture, way, notAborted), {
        name,
        message,
        code: (error as { code?: string }).code,
      });
    }
    const png = await sharp(new Uint8Array(16), { raw: { width: 4, height: 4, channels: 1 } })
      .png()
      .toBuffer();
    await assert.rejects(shared.mask(png, { width: 5, height: 4 }, notAborted), {
      name: 'ImageError',
      code: 'bad_dimensions',
    });
  });

  it('that crash fail only the current image; the next one is decoded by a replacement', testTimeout, async (t) => {
    const { decoder, logged } = await startOne(t);
    const first = only(decoder);
    // Stopped, so that the process is busy when it crashes.
    process.kill(first, 'SIGSTOP');
    const crashed = assert.rejects(decoder.input({ encoded: photo }, wanted, notAborted), {
      name: 'DecoderError',
      code: 'crashed',
      message: /^the decode process ended \(signal SIGSEGV\) while decoding this image; convert/,
    });
    const waiting = decoder.input({ encoded: photo }, wanted, notAborted);
    process.kill(first, 'SIGSEGV');
    process.kill(first, 'SIGCONT');
    await crashed;
    assert.equal((await waiting).image.width, 224);
    assert.notEqual(only(decoder), first);
    assert.deepEqual(decoder.status!.restarts, { died: 1, hung: 0, broken: 0 });
    assert.match(logged[0]!, /^the decode process ended \(signal SIGSEGV\); a replacement is started now$/);
  });

  it(
    'that are killed, for example for lack of memory, fail the image with unavailable, also repeatedly',
    testTimeout,
    async (t) => {
      const { decoder } = await startOne(t);
      for (let time = 1; time <= 3; time++) {
        const pid = only(decoder);
        process.kill(pid, 'SIGSTOP');
        const killed = assert.rejects(decoder.input({ encoded: photo }, wanted, notAborted), {
          name: 'DecoderError',
          code: 'unavailable',
        });
        process.kill(pid, 'SIGKILL');
        await killed;
        // No delay, however many images failed before: the next caller must not wait.
        assert.equal((await decoder.input({ encoded: photo }, wanted, notAborted)).image.width, 224);
        assert.equal(decoder.status!.restarts.died, time);
      }
      // The same applies to masks.
      process.kill(only(decoder), 'SIGSTOP');
      const mask = assert.rejects(decoder.mask(photo, { width: 1, height: 1 }, notAborted), { code: 'unavailable' });
      process.kill(only(decoder), 'SIGKILL');
      await mask;
    },
  );

  it('that exceed the time limit are killed, and the error names the image as the cause', testTimeout, async (t) => {
    const { decoder } = await startOne(t, { seconds: 1 });
    process.kill(only(decoder), 'SIGSTOP');
    await assert.rejects(decoder.input({ encoded: photo }, wanted, notAborted), {
      name: 'ImageError',
      code: 'too_large',
      message: /longer than 1 s to decode and resize \(decodeSeconds\)/,
    });
    assert.equal((await decoder.input({ encoded: photo }, wanted, notAborted)).image.width, 224);
    assert.deepEqual(decoder.status!.restarts, { died: 0, hung: 1, broken: 0 });
  });

  it('reject an aborted call immediately, and are killed if its work does not end', testTimeout, async (t) => {
    const { decoder, logged } = await startOne(t);
    process.kill(only(decoder), 'SIGSTOP');
    const call = new AbortController();
    const given = decoder.input({ encoded: photo }, wanted, call.signal);
    await until(() => decoder.status!.workers[0]!.state === 'busy');
    call.abort(new Error('given up'));
    await assert.rejects(given, /given up/);
    assert.equal(decoder.status!.workers[0]!.state, 'busy', 'the process is busy until its work ends');
    assert.equal((await decoder.input({ encoded: photo }, wanted, notAborted)).image.width, 224);
    assert.deepEqual(decoder.status!.restarts, { died: 0, hung: 1, broken: 0 });
    assert.match(logged[0]!, /killed: its task was aborted and did not end within 1 s/);
  });
});
