import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createAuthority, writeIdentity } from '../../../../test/support/certificates.js';
import { readCertificates } from './certificates.js';

let folder: string;
const authority = createAuthority('test authority');
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vicregl-pem-'));
});
after(() => rm(folder, { recursive: true }));

test('valid files are read, with names and expiry', async () => {
  const { cert, key } = await writeIdentity(folder, 'good', authority.sign('good', { from: -1, to: 10 }));
  const ca = join(folder, 'ca.crt');
  await writeFile(ca, authority.cert);
  const found = await readCertificates({ tlsCert: cert, tlsKey: key, tlsClientCa: ca });
  assert.match(found.names, /DNS:localhost, IP Address:127\.0\.0\.1/);
  assert.ok(Math.abs(found.expires.getTime() - Date.now() - 10 * 86_400_000) < 60_000);
  assert.equal(found.clientCa?.toString(), authority.cert);
});

test('errors name the configuration key and the file, and show nothing of a private key', async () => {
  const good = await writeIdentity(folder, 'a', authority.sign('a'));
  const other = await writeIdentity(folder, 'b', authority.sign('b'));
  const ended = await writeIdentity(folder, 'old', authority.sign('old', { from: -20, to: -10 }));
  const early = await writeIdentity(folder, 'early', authority.sign('early', { from: 10, to: 20 }));
  const text = join(folder, 'text');
  await writeFile(text, 'hush\n');
  const damaged = join(folder, 'damaged.crt');
  await writeFile(damaged, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
  const pair = (tlsCert: string, tlsKey: string, tlsClientCa?: string) => ({ tlsCert, tlsKey, tlsClientCa });
  const cases: [ReturnType<typeof pair>, RegExp][] = [
    [pair(join(folder, 'none'), good.key), /^tlsCert: .*none cannot be read: there is no such file or folder/],
    [pair(text, good.key), /^tlsCert: .*text contains no certificate/],
    [pair(damaged, good.key), /^tlsCert: certificate 1 of .*damaged\.crt is damaged/],
    [pair(ended.cert, ended.key), /^tlsCert: the certificate of .*old\.crt expired on \d{4}-.*; renew it/],
    [pair(early.cert, early.key), /^tlsCert: .*early\.crt is not valid before \d{4}-/],
    [pair(good.cert, other.key), /^tlsKey: .*b\.key is not the key of the certificate in .*a\.crt/],
    [pair(good.cert, text), /^tlsKey: .*text contains no PEM private key/],
    [pair(good.cert, good.key, text), /^tlsClientCa: .*text contains no certificate/],
    [pair(good.cert, good.key, ended.cert), /^tlsClientCa: no certificate of .*old\.crt is valid now/],
  ];
  for (const [paths, message] of cases) {
    await assert.rejects(readCertificates(paths), (error: Error) => {
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /hush|PRIVATE/);
      return true;
    });
  }
});
