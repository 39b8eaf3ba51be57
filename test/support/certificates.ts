import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import forge from 'node-forge';

/** Certificates for tests: an authority, and the certificates that it signs. */

/** A certificate and its private key, PEM. */
export interface Identity {
  readonly cert: string;
  readonly key: string;
}

interface Signer {
  readonly keys: forge.pki.rsa.KeyPair;
  readonly certificate: forge.pki.Certificate;
}

export interface Authority {
  /** Certificate of the authority, PEM. */
  readonly cert: string;
  /** Signs a certificate for 127.0.0.1 and localhost. `from` and `to` are its validity in days from now, `bits` the size of its key. */
  sign(name: string, options?: { readonly from?: number; readonly to?: number; readonly bits?: number }): Identity;
}

const DAY = 86_400_000;
let serial = 0;

function make(name: string, from: number, to: number, extensions: object[], issuer?: Signer, bits = 2048): Signer {
  const keys = forge.pki.rsa.generateKeyPair(bits);
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = keys.publicKey;
  certificate.serialNumber = (++serial).toString(16).padStart(2, '0');
  certificate.validity.notBefore = new Date(Date.now() + from * DAY);
  certificate.validity.notAfter = new Date(Date.now() + to * DAY);
  const subject = [{ name: 'commonName', value: name }];
  certificate.setSubject(subject);
  certificate.setIssuer(issuer ? issuer.certificate.subject.attributes : subject);
  certificate.setExtensions(extensions);
  certificate.sign(issuer?.keys.privateKey ?? keys.privateKey, forge.md.sha256.create());
  return { keys, certificate };
}

/** Creates a new authority. */
export function createAuthority(name: string): Authority {
  const self = make(name, -1, 30, [
    { name: 'basicConstraints', cA: true },
    { name: 'keyUsage', keyCertSign: true, cRLSign: true },
  ]);
  return {
    cert: forge.pki.certificateToPem(self.certificate),
    sign(holder, { from = -1, to = 30, bits } = {}) {
      const altNames = [
        { type: 2, value: 'localhost' },
        { type: 7, ip: '127.0.0.1' },
      ];
      const { keys, certificate } = make(
        holder,
        from,
        to,
        [
          { name: 'basicConstraints', cA: false },
          { name: 'extKeyUsage', serverAuth: true, clientAuth: true },
          { name: 'subjectAltName', altNames },
        ],
        self,
        bits,
      );
      return { cert: forge.pki.certificateToPem(certificate), key: forge.pki.privateKeyToPem(keys.privateKey) };
    },
  };
}

/** Writes an identity as NAME.crt and NAME.key. @returns their paths */
export async function writeIdentity(folder: string, name: string, { cert, key }: Identity) {
  const paths = { cert: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) };
  await Promise.all([writeFile(paths.cert, cert), writeFile(paths.key, key, { mode: 0o600 })]);
  return paths;
}
