import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { pino } from 'pino';
import { createAuthority, type Identity } from '../../test/support/certificates.js';
import { tinyManifest } from '../../test/support/tinyModel.js';
import { createClient } from '../client/client.js';
import type { SecurityOptions } from '../client/security.js';
import { VicreglError } from '../client/vicreglError.js';
import { createFakeEngine } from '../engine/fakeEngine.js';
import type { CertificateStore } from '../serve/operations/auth/certificates.js';
import { createServer, type RunningServer } from '../serve/server.js';
import { hinted } from './connectionHint.js';

const authority = createAuthority('ours');
const stranger = createAuthority('stranger');
const ca = Buffer.from(authority.cert);
const client = ({ cert, key }: Identity) => ({ cert: Buffer.from(cert), key: Buffer.from(key) });

/** Certificates of a server without checks, including those that the service's configuration would reject. */
function tlsOf({ cert, key }: Identity, mutual: boolean): CertificateStore {
  const current: CertificateStore['current'] = {
    cert: Buffer.from(cert),
    key: Buffer.from(key),
    expires: new Date(),
    names: '',
    ...(mutual && { clientCa: ca }),
  };
  return { current, mutual, reload: async () => current, onReload: () => {} };
}

describe('the hint of a command that cannot reach the service', () => {
  const servers: RunningServer[] = [];
  after(() => Promise.all(servers.map((server) => server.close(true))));

  async function serve(identity?: Identity, mutual = false, host = '127.0.0.1'): Promise<string> {
    const server = await createServer({
      models: [{ engine: createFakeEngine({ manifest: { ...tinyManifest, files: {} } }) }],
      address: `${host}:0`,
      metricsAddress: 'off',
      logger: pino({ level: 'silent' }),
      ...(identity && { tls: tlsOf(identity, mutual) }),
    });
    servers.push(server);
    return server.address;
  }

  /** The error message of a call, or undefined if it is answered. */
  async function said(address: string, security: SecurityOptions): Promise<string | undefined> {
    const client = createClient({ address, deadlineMs: 20_000, ...security });
    try {
      await client.model();
      return undefined;
    } catch (error) {
      const shown = (await hinted(error, address, security, 'start a service')) as VicreglError;
      assert.equal(shown.code, 'UNAVAILABLE');
      assert.ok(shown.message.startsWith(`no answer from ${address}`), shown.message);
      assert.doesNotMatch(shown.message, /\n/);
      return shown.message;
    } finally {
      await client.close();
    }
  }

  it('without TLS, to a service that requires it', async () => {
    const address = await serve(authority.sign('service'));
    assert.match((await said(address, {}))!, /uses TLS; pass its CA with --tls-ca, or use --tls/);
    const mutual = await serve(authority.sign('service'), true);
    assert.match((await said(mutual, {}))!, /uses TLS/);
  });

  it('with TLS, to a service without it', async () => {
    assert.match((await said(await serve(), { tls: { ca } }))!, /does not use TLS; remove --tls, --tls-ca /);
  });

  it('an untrusted authority, and an authority that did not sign the certificate', async () => {
    const address = await serve(authority.sign('service'));
    for (const tls of [true, { ca: Buffer.from(stranger.cert) }] as const) {
      assert.match((await said(address, { tls }))!, /not signed by a trusted CA; pass its CA with --tls-ca/);
    }
  });

  it('a certificate that has expired, is not valid yet, or is for other names', async () => {
    const old = await serve(authority.sign('service', { from: -20, to: -10 }));
    assert.match((await said(old, { tls: { ca } }))!, /certificate has expired; renew it/);
    const early = await serve(authority.sign('service', { from: 5, to: 10 }));
    assert.match((await said(early, { tls: { ca } }))!, /not valid yet; check the clocks/);
    const address = await serve(authority.sign('service'));
    const misnamed = { tls: { ca, serverName: 'vicregl.example' } };
    assert.match((await said(address, misnamed))!, /for other names; .* --tls-server-name/);
  });

  it('an IP address that the certificate does not include', async () => {
    // Its certificates are for 127.0.0.1 and localhost.
    const address = await serve(authority.sign('service'), false, '127.0.0.2');
    assert.match((await said(address, { tls: { ca } }))!, /for other names/);
    assert.equal(await said(address, { tls: { ca, serverName: '127.0.0.1' } }), undefined);
  });

  it('a missing client certificate, and one of an authority that the service does not trust', async () => {
    const address = await serve(authority.sign('service'), true);
    assert.match((await said(address, { tls: { ca } }))!, /requires a client certificate; .* --tls-cert and --tls-key/);
    const foreign = { tls: { ca, ...client(stranger.sign('caller')) } };
    assert.match((await said(address, foreign))!, /does not accept the client certificate; .* --tls-cert/);
    assert.equal(await said(address, { tls: { ca, ...client(authority.sign('caller')) } }), undefined);
  });

  it('no service at the address', async () => {
    assert.match((await said('127.0.0.1:1', {}))!, /ECONNREFUSED.*; start a service$/);
    assert.match((await said('127.0.0.1:1', { tls: { ca } }))!, /ECONNREFUSED.*; start a service$/);
  });

  it('TLS to an IP address causes no warning', async (t) => {
    const warnings: string[] = [];
    const note = ({ message }: Error): void => void warnings.push(message);
    process.on('warning', note);
    t.after(() => process.off('warning', note));
    const address = await serve(authority.sign('service'));
    assert.equal(await said(address, { tls: { ca } }), undefined);
    await new Promise(setImmediate);
    assert.deepEqual(warnings, []);
  });
});

it('keeps the message of the service, and explains how to pass a token', async () => {
  const own = new VicreglError('UNAVAILABLE', 'no inference worker stands', { reason: 'ENGINE_UNAVAILABLE' });
  assert.equal(await hinted(own, 'x:1', {}, 'y'), own);
  const token = new VicreglError('UNAUTHENTICATED', 'no token', { reason: 'UNAUTHENTICATED' });
  assert.match(
    ((await hinted(token, 'x:1', {}, 'y')) as Error).message,
    /no token; with this command: --token-file FILE, or the environment variable VICREGL_TOKEN/,
  );
});
