import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { connect, TLSSocket } from 'node:tls';
import { type Client, type ClientOptions, createClient, type VicreglError } from '../../src/client/index.js';
import { createFakeEngine } from '../../src/engine/fakeEngine.js';
import { resolveConfig } from '../../src/serve/config/resolve.js';
import { openSecurity } from '../../src/serve/operations/auth/security.js';
import { createToken, hashToken } from '../../src/serve/operations/auth/tokenStore.js';
import { createLogger } from '../../src/serve/operations/logger.js';
import { createServer } from '../../src/serve/server.js';
import { createAuthority, writeIdentity } from '../support/certificates.js';
import { failsWith } from '../support/failsWith.js';
import { tinyManifest } from '../support/tinyModel.js';
import { checkHealth, listServices } from './grpcProbe.js';

/** Access control over a real socket: TLS, client certificates, tokens and their rates. */

const authority = createAuthority('vicregl test');
const stranger = createAuthority('somebody else');
const tokens = { matching: createToken(), segmentation: createToken(), slow: createToken() };
let folder: string;

/** A protected service, with its log. */
async function start(content: Record<string, unknown>) {
  const lines: string[] = [];
  const logger = createLogger('debug', { write: (line: string) => void lines.push(line) });
  const { config } = resolveConfig({ flags: {}, env: {}, file: { path: 'test', content } });
  const { tls, store, reload } = await openSecurity(config, logger);
  const server = await createServer({
    models: [{ engine: createFakeEngine({ manifest: { ...tinyManifest, files: {} } }) }],
    address: '127.0.0.1:0',
    metricsAddress: '127.0.0.1:0',
    logger,
    tls,
    auth: store && { store, openHealth: config.openHealth },
  });
  const clients: Client[] = [];
  return {
    server,
    lines,
    reload,
    client(options: Omit<ClientOptions, 'address'> = {}) {
      const client = createClient({ address: server.address, deadlineMs: 5000, ...options });
      clients.push(client);
      return client;
    },
    async stop() {
      await Promise.all(clients.map((client) => client.close()));
      await server.close();
    },
  };
}

/** Serial number of the certificate that a new connection receives. */
function shownSerial(address: string): Promise<string> {
  const [host, port] = address.split(':') as [string, string];
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(port), ca: authority.cert, ALPNProtocols: ['h2'] }, () => {
      resolve(socket.getPeerCertificate().serialNumber);
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

/**
 * Reasons for which certificates are rejected in this process, by serial number. Node closes such a connection without
 * reporting the reason to the client. Only the socket has it.
 */
function watchRefusals(t: TestContext): ReadonlyMap<string, string> {
  const { destroy } = TLSSocket.prototype;
  const reasons = new Map<string, string>();
  t.mock.method(TLSSocket.prototype, 'destroy', function (this: TLSSocket, error?: Error) {
    // The type is Error, but the value is the code. A socket can be destroyed repeatedly, and then has no certificate.
    const reason = this.authorizationError && String(this.authorizationError);
    const serial = reason ? this.getPeerCertificate()?.serialNumber : undefined;
    if (reason && serial !== undefined) reasons.set(serial, reason);
    return destroy.call(this, error);
  });
  return reasons;
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vicregl-security-'));
});
after(() => rm(folder, { recursive: true }));

describe('TLS', () => {
  const ca = Buffer.from(authority.cert);

  test('answers only clients that trust its authority', async () => {
    const { cert, key } = await writeIdentity(folder, 'server', authority.sign('server'));
    const service = await start({ tlsCert: cert, tlsKey: key });
    try {
      assert.equal((await service.client({ tls: { ca } }).model()).name, 'tiny');
      const untrusted = { tls: { ca: Buffer.from(stranger.cert) } } as const;
      await assert.rejects(service.client(untrusted).model(), failsWith('UNAVAILABLE', /certificate/));
      await assert.rejects(service.client({ tls: true }).model(), failsWith('UNAVAILABLE', /certificate/));
      await assert.rejects(service.client().model(), failsWith('UNAVAILABLE', /./));
      const misnamed = { tls: { ca, serverName: 'vicregl.example' } } as const;
      await assert.rejects(service.client(misnamed).model(), failsWith('UNAVAILABLE', /altnames/));
      assert.equal((await service.client({ tls: { ca, serverName: 'localhost' } }).model()).name, 'tiny');
    } finally {
      await service.stop();
    }
  });

  test('a reload uses a renewed certificate without a restart, and keeps the old one if the new one is invalid', async () => {
    const first = authority.sign('first');
    const { cert, key } = await writeIdentity(folder, 'renewed', first);
    const service = await start({ tlsCert: cert, tlsKey: key });
    try {
      const before = await shownSerial(service.server.address);
      const open = service.client({ tls: { ca } });
      await open.model();
      await writeIdentity(folder, 'renewed', authority.sign('second', { from: -9, to: -1 }));
      const [failed] = await service.reload();
      assert.equal(failed!.ok, false);
      assert.match(failed!.message, /tlsCert: .* expired on/);
      assert.equal(await shownSerial(service.server.address), before);
      const third = authority.sign('third');
      // A copy of a chain that is seen in the middle of its second certificate.
      await writeIdentity(folder, 'renewed', { ...third, cert: third.cert + authority.cert.slice(0, 600) });
      const [half] = await service.reload();
      assert.equal(half!.ok, false);
      assert.match(half!.message, /tlsCert: .*renewed\.crt is incomplete/);
      assert.equal(await shownSerial(service.server.address), before);
      await writeIdentity(folder, 'renewed', third);
      assert.equal((await service.reload())[0]!.ok, true);
      assert.notEqual(await shownSerial(service.server.address), before);
      await open.model();
      assert.equal((await service.client({ tls: { ca } }).model()).name, 'tiny');
    } finally {
      await service.stop();
    }
  });

  test('mutual TLS accepts clients with a certificate of its authority, also after a reload, which may bring another authority', async (t) => {
    const refusals = watchRefusals(t);
    const { cert, key } = await writeIdentity(folder, 'mutual', authority.sign('server'));
    const clientCa = join(folder, 'clients.crt');
    await writeFile(clientCa, authority.cert);
    const service = await start({ tlsCert: cert, tlsKey: key, tlsClientCa: clientCa });
    const identity = ({ cert, key }: { cert: string; key: string }) => ({
      tls: { ca, cert: Buffer.from(cert), key: Buffer.from(key) },
    });
    const noConnection = failsWith('UNAVAILABLE', /^round_robin: No connection established/);
    const turnedAway = async (who: { cert: string; key: string }, reason: string): Promise<void> => {
      await assert.rejects(service.client(identity(who)).model(), noConnection);
      assert.equal(refusals.get(new X509Certificate(who.cert).serialNumber), reason);
    };
    try {
      for (const round of ['before', 'after']) {
        assert.equal((await service.client(identity(authority.sign('client'))).model()).name, 'tiny', round);
        await assert.rejects(service.client({ tls: { ca } }).model(), noConnection);
        await turnedAway(stranger.sign('client'), 'UNABLE_TO_VERIFY_LEAF_SIGNATURE');
        await turnedAway(authority.sign('client', { from: -20, to: -10 }), 'CERT_HAS_EXPIRED');
        assert.ok((await service.reload()).every(({ ok }) => ok));
      }
      await writeFile(clientCa, stranger.cert);
      assert.ok((await service.reload()).every(({ ok }) => ok));
      assert.equal((await service.client(identity(stranger.sign('client'))).model()).name, 'tiny');
      // The client sends the authority that it trusts along with its certificate.
      await turnedAway(authority.sign('client'), 'SELF_SIGNED_CERT_IN_CHAIN');
    } finally {
      await service.stop();
    }
  });

  test('the client rejects invalid options', () => {
    const make = (options: object) => () => createClient({ address: 'vicregl.example:443', ...options });
    assert.throws(make({ tls: { cert: ca } }), failsWith('INVALID_ARGUMENT', /cert and key must be used together/));
    assert.throws(
      make({ tls: { ca: Buffer.from('x'), cert: ca, key: ca } }),
      failsWith('INVALID_ARGUMENT', /not a usable PEM file/),
    );
    assert.throws(make({ token: 'secret' }), (error: Error) => {
      failsWith('INVALID_ARGUMENT', /without TLS it could be read in transit to vicregl\.example:443/)(error);
      return !error.message.includes('secret');
    });
    assert.throws(make({ token: 'a b', tls: true }), failsWith('INVALID_ARGUMENT', /characters/));
    for (const options of [
      { token: 'x', tls: true },
      { token: 'x', tokenInClear: true },
    ] as const) {
      void createClient({ address: 'vicregl.example:443', ...options }).close();
    }
  });
});

describe('tokens', () => {
  let service: Awaited<ReturnType<typeof start>>;
  const entries = (names: readonly (keyof typeof tokens)[]) =>
    names.map((name) => ({
      name,
      sha256: hashToken(tokens[name]).toString('hex'),
      ...(name === 'slow' && { requestsPerSecond: 0.01, burst: 2 }),
    }));
  const path = () => join(folder, 'tokens.json');

  before(async () => {
    await writeFile(path(), JSON.stringify(entries(['matching', 'slow'])));
    service = await start({ tokensFile: path() });
  });
  after(() => service.stop());

  test('a known token is accepted; a missing, unknown or malformed one is UNAUTHENTICATED with its reason', async () => {
    assert.equal((await service.client({ token: tokens.matching }).model()).name, 'tiny');
    await assert.rejects(
      service.client().model(),
      failsWith('UNAUTHENTICATED', /no token; send metadata "authorization: Bearer TOKEN"/, 'UNAUTHENTICATED'),
    );
    const wrong = createToken();
    await assert.rejects(
      service.client({ token: wrong }).model(),
      failsWith('UNAUTHENTICATED', /the token is unknown/),
    );
  });

  test('health needs no token, but reflection does', async () => {
    assert.equal(await checkHealth(service.server.address), 'SERVING');
    await assert.rejects(listServices(service.server.address), /UNAUTHENTICATED/);
    const closed = await start({ tokensFile: path(), openHealth: false });
    await assert.rejects(checkHealth(closed.server.address), /UNAUTHENTICATED/);
    await assert.rejects(listServices(closed.server.address), /UNAUTHENTICATED/);
    await assert.rejects(closed.client().model(), failsWith('UNAUTHENTICATED', /./));
    const text = await (await fetch(`http://${closed.server.metricsAddress}/metrics`)).text();
    const counted = text.matchAll(/^vicregl_requests(?:_rejected)?_total\{method="(\w+)".* [1-9]\d*$/gm);
    assert.deepEqual(
      [...counted].map(([, method]) => method),
      ['GetModel', 'GetModel'],
      'calls of health and reflection are not',
    );
    assert.ok(
      closed.lines.some((line) => /"method":"Check"/.test(line)),
      'but they are logged',
    );
    await closed.stop();
  });

  test('calls over the limit of a token are RESOURCE_EXHAUSTED with a delay and logged by its name; other tokens are not affected', async () => {
    const slow = service.client({ token: tokens.slow });
    await slow.model();
    await slow.model();
    await assert.rejects(slow.model(), (error: unknown) => {
      const message = /slow may make 0\.01 calls per second \(requestsPerSecond\); try again in \d+\.\d+ s/;
      failsWith('RESOURCE_EXHAUSTED', message, 'RATE_LIMITED')(error);
      assert.deepEqual((error as VicreglError).limit, { name: 'requestsPerSecond', value: 0.01 });
      const { cause } = error as { cause: { metadata: { get(key: string): Buffer[] } } };
      assert.ok(cause.metadata.get('grpc-status-details-bin')[0]!.includes('google.rpc.RetryInfo'));
      return true;
    });
    const refused = service.lines.map((line) => JSON.parse(line)).filter(({ reason }) => reason === 'RATE_LIMITED');
    assert.deepEqual(
      refused.map(({ caller, method }) => [caller, method]),
      [['slow', 'GetModel']],
    );
    await service.client({ token: tokens.matching }).model();
  });

  test('a reload adds and removes tokens without a restart', async () => {
    const client = service.client({ token: tokens.segmentation });
    await assert.rejects(client.model(), failsWith('UNAUTHENTICATED', /./));
    await writeFile(path(), JSON.stringify(entries(['segmentation'])));
    assert.deepEqual(await service.reload(), [{ name: 'tokens', ok: true, message: '1 tokens' }]);
    await client.model();
    await assert.rejects(service.client({ token: tokens.matching }).model(), failsWith('UNAUTHENTICATED', /./));
    await writeFile(path(), '[]');
    assert.equal((await service.reload())[0]!.ok, false);
    await client.model();
  });

  test('rejected calls are counted by reason, and no token or hash is in the log', async () => {
    const text = await (await fetch(`http://${service.server.metricsAddress}/metrics`)).text();
    const count = (reason: string) =>
      Number(
        new RegExp(`vicregl_requests_rejected_total\\{method="GetModel",reason="${reason}"\\} (\\d+)`).exec(text)?.[1],
      );
    assert.ok(count('UNAUTHENTICATED') >= 4);
    assert.equal(count('RATE_LIMITED'), 1);
    assert.match(text, /vicregl_requests_total\{method="GetModel",code="UNAUTHENTICATED"\} [4-9]/);
    assert.doesNotMatch(text, /code="NO_MESSAGE"/);
    const log = service.lines.join('');
    assert.match(log, /"code":"UNAUTHENTICATED"/);
    for (const token of Object.values(tokens)) {
      assert.ok(!log.includes(token) && !log.includes(hashToken(token).toString('hex')));
    }
    assert.doesNotMatch(log, /[Bb]earer vrg_/);
  });
});

test('a logger redacts fields that could contain secrets', () => {
  const lines: string[] = [];
  const logger = createLogger('info', { write: (line: string) => void lines.push(line) });
  const secret = 'hush-hush';
  logger.info(
    { token: secret, headers: { authorization: secret }, config: { tokens: { a: { sha256: secret } } } },
    'x',
  );
  assert.equal(lines.length, 1);
  assert.ok(!lines[0]!.includes(secret) && lines[0]!.includes('[redacted]'));
});
