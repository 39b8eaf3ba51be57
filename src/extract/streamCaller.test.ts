import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { StreamAnswer } from '../client/items.js';
import { VicreglError } from '../client/vicreglError.js';
import { ExtractError } from './extractError.js';
import { backOffSeconds, RETRIES } from './retry.js';
import { streamCaller } from './streamCaller.js';

type Answer = StreamAnswer<string>;
const phases = { seconds: {} } as unknown as Answer['phases'];
const text = (image: unknown) => Buffer.from(image as Uint8Array).toString();
const answered = (id: string, value: string): Answer => ({ id, phases, status: 'fulfilled', value });
const refused = (id: string, reason: VicreglError): Answer => ({ id, phases, status: 'rejected', reason });
const image = (name: string) => Buffer.from(name);

/** A service whose streams answer as `behave` says: an answer, or an error that breaks the stream. */
function service(behave: (name: string, stream: number) => string | VicreglError | { readonly broken: VicreglError }) {
  const opened: string[][] = [];
  const waits: number[] = [];
  const caller = streamCaller<object, string>(
    async function* (items) {
      const received: string[] = [];
      const stream = opened.push(received) - 1;
      for await (const item of items) {
        const name = text(item.image);
        received.push(name);
        const answer = behave(name, stream);
        if (typeof answer === 'string') yield answered(item.id, answer);
        else if ('broken' in answer) throw answer.broken;
        else yield refused(item.id, answer);
      }
    },
    {
      signal: new AbortController().signal,
      note: () => {},
      wait: async (attempt) => {
        waits.push(attempt);
      },
    },
  );
  return {
    opened,
    waits,
    caller,
    all: (...names: string[]) => Promise.allSettled(names.map((name) => caller.call(image(name), {}))),
  };
}

const gone = new VicreglError('UNAVAILABLE', 'gone');
const values = (results: PromiseSettledResult<string>[]) =>
  results.map((result) => (result.status === 'fulfilled' ? result.value : (result.reason as Error).message));

describe('calls over a stream', () => {
  it('share one stream, and fail on their own', async () => {
    const { all, opened } = service((name) =>
      name === 'b' ? new VicreglError('INVALID_ARGUMENT', 'no image') : `${name}!`,
    );
    assert.deepEqual(values(await all('a', 'b', 'c')), ['a!', 'no image', 'c!']);
    assert.deepEqual(opened, [['a', 'b', 'c']]);
  });

  it('are sent again over a new stream when theirs breaks, after a pause', async () => {
    const { all, opened, waits } = service((name, stream) =>
      name === 'b' && stream < 2 ? { broken: gone } : `${name}!`,
    );
    assert.deepEqual(values(await all('a', 'b', 'c')), ['a!', 'b!', 'c!']);
    assert.equal(opened.length, 3);
    assert.deepEqual(waits, [1, 2]);
  });

  it('end with a resumable error when the service stays away', async () => {
    const { all, opened, waits } = service(() => ({ broken: gone }));
    const results = await all('a', 'b');
    for (const result of results) {
      assert.ok(result.status === 'rejected' && result.reason instanceof ExtractError);
      assert.equal(result.reason.code, 'stopped');
      assert.match(result.reason.message, /does not answer any more \(UNAVAILABLE: gone\)/);
    }
    assert.equal(opened.length, RETRIES + 1);
    // Later calls do not begin anew.
    assert.match(values(await all('c'))[0]!, /does not answer any more/);
    assert.equal(opened.length, RETRIES + 1);
    assert.deepEqual(
      waits,
      Array.from({ length: RETRIES }, (_, i) => i + 1),
    );
  });

  it('find the image that breaks every stream, and answer the others', async () => {
    const tooLarge = new VicreglError('RESOURCE_EXHAUSTED', 'message too large');
    const { all } = service((name) => (name === 'c' ? { broken: tooLarge } : `${name}!`));
    assert.deepEqual(values(await all('a', 'b', 'c', 'd')), ['a!', 'b!', 'message too large', 'd!']);
  });

  for (const reason of ['OVERLOADED', 'RATE_LIMITED']) {
    it(`repeat an image that is refused for the moment (${reason}), after longer and longer pauses`, async () => {
      let refusals = 3;
      const busy = new VicreglError('RESOURCE_EXHAUSTED', 'not now', { reason });
      const { all, opened, waits } = service((name) => (name === 'a' && refusals-- > 0 ? busy : `${name}!`));
      assert.deepEqual(values(await all('a', 'b')), ['a!', 'b!']);
      assert.equal(opened.length, 1);
      assert.deepEqual(waits, [1, 2, 3]);
    });
  }

  it('end with a resumable error when one image is refused for the moment every time', async () => {
    const busy = new VicreglError('RESOURCE_EXHAUSTED', 'full', { reason: 'OVERLOADED' });
    const { all, opened, waits } = service((name) => (name === 'a' ? busy : `${name}!`));
    const [refusedOne, answeredOne] = values(await all('a', 'b'));
    assert.match(refusedOne!, /does not answer any more \(RESOURCE_EXHAUSTED: full\)/);
    assert.equal(answeredOne, 'b!');
    // Four times over the same stream, then over a new one each.
    assert.deepEqual(waits, [1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert.equal(opened.length, 1 + RETRIES);
  });

  it('all end at an error that every image would get', async () => {
    const denied = new VicreglError('UNAUTHENTICATED', 'no token');
    const { all, opened } = service((name) => (name === 'b' ? denied : `${name}!`));
    assert.deepEqual(values(await all('a', 'b', 'c')), ['a!', 'no token', 'no token']);
    assert.equal(opened.length, 1);
  });

  it('wait longer each time, up to a limit, with jitter, and as long as the service asks', () => {
    const at = (attempt: number, random: number, error = gone) => backOffSeconds(attempt, error, () => random);
    assert.deepEqual([at(1, 1), at(2, 1), at(3, 1), at(20, 1)], [0.5, 1, 2, 30]);
    assert.equal(at(3, 0), 1);
    assert.equal(at(1, 0, new VicreglError('UNAVAILABLE', '', { retryAfterSeconds: 7 })), 7);
  });
});
