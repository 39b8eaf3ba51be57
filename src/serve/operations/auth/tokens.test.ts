import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { bearerToken } from './bearer.js';
import { createToken, createTokenStore, hashToken } from './tokenStore.js';
import { readTokens } from './tokensFile.js';

const entry = (
  name: string,
  token: string,
  more: { requestsPerSecond?: number; burst?: number; admin?: boolean } = {},
) => ({
  name,
  sha256: hashToken(token).toString('hex'),
  admin: false,
  ...more,
});

describe('tokens', () => {
  test('are new each time, have 256 bits, and are valid in a header', () => {
    const [a, b] = [createToken(), createToken()];
    assert.notEqual(a, b);
    assert.match(a, /^vrg_[\w-]{43}$/);
    assert.equal(bearerToken(`Bearer ${a}`), a);
    assert.equal(bearerToken(`bearer  ${a}`), a);
    for (const wrong of [undefined, '', a, `Basic ${a}`, 'Bearer ', `Bearer ${a} x`, `Bearer ${a}, ${b}`]) {
      assert.equal(bearerToken(wrong), undefined, wrong);
    }
  });

  test('are stored only as hashes', () => {
    const store = createTokenStore([entry('a', 'one'), entry('b', 'two', { admin: true })]);
    assert.deepEqual([store.find('one')?.name, store.find('two')?.name], ['a', 'b']);
    for (const wrong of ['', 'on', 'one ', hashToken('one').toString('hex')])
      assert.equal(store.find(wrong), undefined);
    assert.equal(store.hasAdmin, true);
    store.replace([entry('c', 'three')]);
    assert.deepEqual([store.find('one'), store.find('three')?.name, store.hasAdmin], [undefined, 'c', false]);
  });

  test('have a rate limit with a burst, which a reload of the same entry does not refill', () => {
    const slow = { requestsPerSecond: 0.001, burst: 2 };
    const store = createTokenStore([entry('slow', 'one', slow), entry('free', 'two')]);
    const spend = (token: string) => store.find(token)!.spend();
    assert.deepEqual([spend('one'), spend('one')], [0, 0]);
    const wait = spend('one');
    assert.ok(wait > 900 && wait <= 1000, String(wait));
    store.replace([entry('slow', 'one', slow)]);
    assert.ok(spend('one') > 900);
    store.replace([entry('slow', 'one', { requestsPerSecond: 0.002 })]);
    assert.deepEqual([spend('one'), spend('one') > 0], [0, true]);
    assert.equal(
      createTokenStore([entry('free', 'two')])
        .find('two')!
        .spend(),
      0,
    );
    const standard = createTokenStore([entry('x', 'one')], { requestsPerSecond: 0.001, burst: 1 }).find('one')!;
    assert.deepEqual([standard.spend(), standard.spend() > 0], [0, true]);
  });

  test('with an error in their file are reported by file and entry, without a value', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'vicregl-tokens-'));
    const write = async (text: string) => {
      const path = join(folder, 'tokens.yaml');
      await writeFile(path, text);
      return path;
    };
    const good = JSON.stringify(entry('a', 'one'));
    try {
      assert.deepEqual(await readTokens({ tokensFile: await write(`- ${good}`) }), [entry('a', 'one')]);
      assert.equal(await readTokens({}), undefined);
      const cases: [string, RegExp][] = [
        ['', /tokens\.yaml is not a list of tokens; use entries as printed by "vicregl token"/],
        ['- name: a\n  sha256: vrg_hush', /tokens\.yaml: entry 1: sha256: is not a SHA-256 hash/],
        [`- ${good}\n- {name: vrg hush, sha256: ${'0'.repeat(64)}}`, /entry 2: name: is not a valid name/],
        [`- ${good}\n- ${good}`, /the name a occurs twice/],
        [`- ${good}\n- ${JSON.stringify(entry('b', 'one'))}`, /a and b have the same token/],
        [`- {name: a, sha: 1}`, /entry 1: has a key that is not known; use name, sha256, /],
        ['- {vrg_hush: a}', /entry 1: has a key that is not known/],
      ];
      for (const [text, message] of cases) {
        await assert.rejects(readTokens({ tokensFile: await write(text) }), (error: Error) => {
          assert.match(error.message, message);
          assert.doesNotMatch(error.message, /hush/);
          return true;
        });
      }
      await assert.rejects(readTokens({ tokens: [] }), /the list is empty/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
