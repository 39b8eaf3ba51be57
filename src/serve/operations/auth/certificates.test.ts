import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createAuthority, writeIdentity } from '../../../../test/support/certificates.js';
import { type Certificates, openCertificateStore, readCertificates } from './certificates.js';

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
  const weak = await writeIdentity(folder, 'weak', authority.sign('weak', { bits: 512 }));
  /** The certificate of `good`, whole, with the beginning of another one: a copy of a chain seen in the middle. */
  const half = async (name: string, bytes: number) => {
    const path = join(folder, name);
    await writeFile(path, `${await readFile(good.cert, 'utf8')}${authority.cert.slice(0, bytes)}`);
    return path;
  };
  const [begun, line] = [await half('begun.crt', 600), await half('line.crt', '-----BEGIN CERT'.length)];
  const pair = (tlsCert: string, tlsKey: string, tlsClientCa?: string) => ({ tlsCert, tlsKey, tlsClientCa });
  const cases: [ReturnType<typeof pair>, RegExp][] = [
    [pair(join(folder, 'none'), good.key), /^tlsCert: .*none cannot be read: there is no such file or folder/],
    [pair(text, good.key), /^tlsCert: .*text contains no certificate/],
    [pair(damaged, good.key), /^tlsCert: certificate 1 of .*damaged\.crt is damaged/],
    [pair(ended.cert, ended.key), /^tlsCert: the certificate of .*old\.crt expired on \d{4}-.*; renew it/],
    [pair(early.cert, early.key), /^tlsCert: .*early\.crt is not valid before \d{4}-/],
    [pair(good.cert, other.key), /^tlsKey: .*b\.key is not the key of the certificate in .*a\.crt/],
    [pair(begun, good.key), /^tlsCert: .*begun\.crt is incomplete: a -----BEGIN line without its -----END line/],
    [pair(line, good.key), /^tlsCert: .*line\.crt is incomplete/],
    [pair(weak.cert, weak.key), /^tlsCert: TLS cannot use .*weak\.crt: ee key too small$/],
    [pair(good.cert, good.key, begun), /^tlsClientCa: .*begun\.crt is incomplete/],
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

test('text and other blocks around the certificates are no fault', async () => {
  const { cert, key } = authority.sign('both');
  const path = join(folder, 'both.pem');
  await writeFile(path, `Bag Attributes\n----- both -----\n${key}${cert}\r\nsubject=CN = test\n${authority.cert}`);
  const found = await readCertificates({ tlsCert: path, tlsKey: path });
  assert.match(found.names, /DNS:localhost/);
});

test('a listener that fails at a reload leaves the previous certificates in force, also at the other listeners', async () => {
  const { cert, key } = await writeIdentity(folder, 'store', authority.sign('store'));
  const store = await openCertificateStore({ tlsCert: cert, tlsKey: key });
  const first = store.current;
  const seen: Certificates[] = [];
  let fails = true;
  store.onReload((certificates) => void seen.push(certificates));
  store.onReload((certificates) => {
    if (fails && certificates !== first) throw new Error('this listener cannot use it');
  });
  await writeIdentity(folder, 'store', authority.sign('renewed'));
  await assert.rejects(store.reload(), /this listener cannot use it/);
  assert.equal(store.current, first);
  assert.equal(seen.at(-1), first);
  fails = false;
  assert.equal(await store.reload(), store.current);
  assert.notEqual(store.current, first);
  assert.equal(seen.at(-1), store.current);
});
