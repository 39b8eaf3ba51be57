import assert from 'node:assert/strict';
import { request } from 'node:http';
import { test } from 'node:test';
import { startAdminServer } from './adminServer.js';
import { createToken, createTokenStore, hashToken } from './auth/tokenStore.js';
import { createLogger } from './logger.js';
import { createReload } from './reload.js';

const logger = createLogger('silent');
const entry = (name: string, token: string, admin: boolean) => ({
  name,
  admin,
  sha256: hashToken(token).toString('hex'),
});

/** One request with the given headers, including Host. */
function ask(address: string, method: string, path: string, headers: Record<string, string> = {}) {
  const [host, port] = address.split(':') as [string, string];
  return new Promise<{ code: number; body: string }>((resolve, reject) => {
    const call = request({ host, port, method, path, headers: { connection: 'close', ...headers } }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('end', () => resolve({ code: response.statusCode!, body: Buffer.concat(parts).toString() }));
    });
    call.on('error', reject).end();
  });
}

function start(store?: ReturnType<typeof createTokenStore>) {
  let fails = false;
  const parts = [
    { name: 'certificates', reload: async () => 'until tomorrow' },
    {
      name: 'tokens',
      async reload() {
        if (fails) throw new Error('it is no list');
        return '2 tokens';
      },
    },
  ];
  const reload = createReload(parts, logger);
  const config = () => ({ queueImages: 3 });
  return {
    fail: () => {
      fails = true;
    },
    server: startAdminServer({ address: '127.0.0.1:0', store, reload, config, logger }),
  };
}

test('without an admin token, local programs may call, and web pages may not', async () => {
  const { server, fail } = start(createTokenStore([entry('a', 'one', false)]));
  const { address, close } = await server;
  const shown = await ask(address, 'GET', '/config');
  assert.deepEqual([shown.code, JSON.parse(shown.body)], [200, { queueImages: 3 }]);
  const reloaded = await ask(address, 'POST', '/reload');
  assert.equal(reloaded.code, 200);
  assert.match(reloaded.body, /2 tokens/);
  fail();
  const failed = await ask(address, 'POST', '/reload');
  assert.equal(failed.code, 500);
  assert.deepEqual(
    (JSON.parse(failed.body) as { name: string; ok: boolean }[]).map(({ name, ok }) => [name, ok]),
    [
      ['certificates', true],
      ['tokens', false],
    ],
  );
  assert.equal((await ask(address, 'POST', '/reload', { origin: 'https://example.org' })).code, 403);
  assert.equal((await ask(address, 'GET', '/config', { host: 'rebound.example.org' })).code, 403);
  assert.equal((await ask(address, 'GET', '/reload')).code, 404);
  await close();
});

test('with an admin token, calls need it, also after it was removed from the list', async () => {
  const [admin, plain] = [createToken(), createToken()];
  const store = createTokenStore([entry('root', admin, true), entry('app', plain, false)]);
  const { address, close } = await start(store).server;
  const asked = async (headers: Record<string, string>) => (await ask(address, 'GET', '/config', headers)).code;
  assert.equal(await asked({}), 401);
  assert.equal(await asked({ authorization: `Bearer ${createToken()}` }), 401);
  assert.equal(await asked({ authorization: `Bearer ${plain}` }), 403);
  assert.equal(await asked({ authorization: `Bearer ${admin}` }), 200);
  store.replace([entry('app', plain, false)]);
  assert.equal(await asked({}), 401);
  await close();
});

test('a single model is reloaded by its name, with or without its version; an unknown one is an error', async () => {
  const reloaded: string[] = [];
  const part = (name: string, modelNames: string[] | undefined) => ({
    name,
    ...(modelNames && { modelNames: () => modelNames }),
    async reload() {
      reloaded.push(name);
      return 'done';
    },
  });
  const parts = [part('tokens', undefined), part('first', ['a', 'a@1']), part('second', ['a', 'a@2'])];
  const reload = createReload(parts, logger);
  const { address, close } = await startAdminServer({ address: '127.0.0.1:0', reload, config: () => ({}), logger });
  const one = await ask(address, 'POST', '/reload?model=a%402');
  assert.deepEqual([one.code, JSON.parse(one.body)], [200, [{ name: 'second', ok: true, message: 'done' }]]);
  assert.equal((await ask(address, 'POST', '/reload?model=a')).code, 200);
  assert.deepEqual(reloaded, ['second', 'first']);
  for (const name of ['b', '']) {
    const unknown = await ask(address, 'POST', `/reload?model=${name}`);
    assert.equal(unknown.code, 404);
    assert.equal(unknown.body, `model: "${name}" is not served here; use "a", "a@1", "a@2"\n`);
  }
  for (const query of ['modle=a', 'model=a&model=b']) {
    const wrong = await ask(address, 'POST', `/reload?${query}`);
    assert.equal(wrong.code, 400);
    assert.match(wrong.body, /at most one model=NAME/);
  }
  assert.deepEqual(reloaded, ['second', 'first']);
  await close();
});

test('beyond loopback a token is required; off does not listen', async () => {
  const options = { reload: createReload([], logger), config: () => ({}), logger };
  await assert.rejects(
    async () => startAdminServer({ ...options, address: '0.0.0.0:0' }),
    /adminAddress: 0\.0\.0\.0:0 is not on loopback, and no token has admin: true/,
  );
  assert.equal((await startAdminServer({ ...options, address: 'off' })).address, 'off');
});
