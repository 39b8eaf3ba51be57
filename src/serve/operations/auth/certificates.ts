import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileProblem } from '../../../files/fileProblem.js';
import { ServeConfigError } from '../../config/configFile.js';

/** Paths of PEM files. */
export interface CertificatePaths {
  /** Certificate of the server, then those between it and its authority. */
  readonly tlsCert: string;
  readonly tlsKey: string;
  /** Authorities of clients' certificates: with it, clients need one. */
  readonly tlsClientCa?: string | undefined;
}

/** PEM files that fit together, as read. */
export interface Certificates {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly clientCa?: Buffer;
  /** When the server's certificate ends. */
  readonly expires: Date;
  /** Names and addresses that the certificate is for. */
  readonly names: string;
}

const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;

async function readPem(key: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new ServeConfigError([`${key}: ${path} cannot be read: ${fileProblem(cause)}`], { cause });
  }
}

function parseCertificates(key: string, path: string, pem: Buffer): X509Certificate[] {
  const blocks = pem.toString('latin1').match(PEM_BLOCK) ?? [];
  if (blocks.length === 0) {
    throw new ServeConfigError([`${key}: ${path} holds no certificate (-----BEGIN CERTIFICATE-----)`]);
  }
  return blocks.map((block, i) => {
    try {
      return new X509Certificate(block);
    } catch (cause) {
      throw new ServeConfigError([`${key}: certificate ${i + 1} of ${path} is damaged: ${(cause as Error).message}`]);
    }
  });
}

/** What is wrong with the time of a certificate; undefined where it is valid now. */
function timeFault({ validFrom, validTo }: X509Certificate, now: Date): string | undefined {
  if (new Date(validTo) < now) return `ended on ${new Date(validTo).toISOString()}`;
  if (new Date(validFrom) > now) return `does not begin before ${new Date(validFrom).toISOString()}`;
  return undefined;
}

function parseKey(path: string, pem: Buffer): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    // OpenSSL's own words say nothing of use, and the file is a secret.
    throw new ServeConfigError([`tlsKey: ${path} holds no private key in PEM that can be read without a password`], {
      cause,
    });
  }
}

/**
 * Reads the files of TLS and checks that they can work: readable, PEM, valid now, key and certificate a pair.
 * @throws ServeConfigError naming key and file.
 */
export async function readCertificates(paths: CertificatePaths, now = new Date()): Promise<Certificates> {
  const { tlsCert, tlsKey, tlsClientCa } = paths;
  const [cert, key] = await Promise.all([readPem('tlsCert', tlsCert), readPem('tlsKey', tlsKey)]);
  const [leaf] = parseCertificates('tlsCert', tlsCert, cert);
  const fault = timeFault(leaf!, now);
  if (fault !== undefined) throw new ServeConfigError([`tlsCert: the certificate of ${tlsCert} ${fault}; renew it`]);
  if (!leaf!.checkPrivateKey(parseKey(tlsKey, key))) {
    throw new ServeConfigError([`tlsKey: ${tlsKey} is not the key of the certificate in ${tlsCert} (its first one)`]);
  }
  const found = { cert, key, expires: new Date(leaf!.validTo), names: leaf!.subjectAltName ?? leaf!.subject };
  if (tlsClientCa === undefined) return found;
  const clientCa = await readPem('tlsClientCa', tlsClientCa);
  const authorities = parseCertificates('tlsClientCa', tlsClientCa, clientCa);
  if (authorities.every((authority) => timeFault(authority, now) !== undefined)) {
    throw new ServeConfigError([
      `tlsClientCa: every certificate of ${tlsClientCa} has ended, so that no client could connect; renew them`,
    ]);
  }
  return { ...found, clientCa };
}

/** The certificates of a running server, whose files can be read again. */
export interface CertificateStore {
  /** The certificates in force. */
  readonly current: Certificates;
  /** Whether clients need a certificate (`tlsClientCa`). */
  readonly mutual: boolean;
  /**
   * Reads the files again.
   * @throws ServeConfigError when they cannot work; the certificates in force stay then.
   */
  reload(): Promise<Certificates>;
  /** Calls the listener after every reload. */
  onReload(listener: (certificates: Certificates) => void): void;
}

/** @throws ServeConfigError naming the key and file that cannot work. */
export async function openCertificateStore(paths: CertificatePaths): Promise<CertificateStore> {
  let current = await readCertificates(paths);
  const listeners: ((certificates: Certificates) => void)[] = [];
  return {
    get current() {
      return current;
    },
    mutual: paths.tlsClientCa !== undefined,
    async reload() {
      current = await readCertificates(paths);
      for (const listener of listeners) listener(current);
      return current;
    },
    onReload: (listener) => void listeners.push(listener),
  };
}
