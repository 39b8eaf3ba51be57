import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileProblem } from '../../../files/fileProblem.js';
import { ServeConfigError } from '../../config/configFile.js';

/** Paths of PEM files. */
export interface CertificatePaths {
  /** Certificate of the server, followed by the intermediate certificates. */
  readonly tlsCert: string;
  readonly tlsKey: string;
  /** Authorities of client certificates; if set, clients need a certificate. */
  readonly tlsClientCa?: string | undefined;
}

/** Contents of PEM files that belong together. */
export interface Certificates {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly clientCa?: Buffer;
  /** When the server's certificate expires. */
  readonly expires: Date;
  /** Names and addresses of the certificate. */
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
    throw new ServeConfigError([`${key}: ${path} contains no certificate (-----BEGIN CERTIFICATE-----)`]);
  }
  return blocks.map((block, i) => {
    try {
      return new X509Certificate(block);
    } catch (cause) {
      throw new ServeConfigError([`${key}: certificate ${i + 1} of ${path} is damaged: ${(cause as Error).message}`]);
    }
  });
}

/** Describes why a certificate is not valid at a time; undefined if it is valid. */
function timeFault({ validFrom, validTo }: X509Certificate, now: Date): string | undefined {
  if (new Date(validTo) < now) return `expired on ${new Date(validTo).toISOString()}`;
  if (new Date(validFrom) > now) return `is not valid before ${new Date(validFrom).toISOString()}`;
  return undefined;
}

function parseKey(path: string, pem: Buffer): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    // The message of OpenSSL is not helpful, and the file is a secret.
    throw new ServeConfigError([`tlsKey: ${path} contains no PEM private key that can be read without a password`], {
      cause,
    });
  }
}

/**
 * Reads the TLS files and checks them: they are readable PEM files, the certificate is valid now, and the key belongs to it.
 * @throws ServeConfigError naming the configuration key and the file.
 */
export async function readCertificates(paths: CertificatePaths, now = new Date()): Promise<Certificates> {
  const { tlsCert, tlsKey, tlsClientCa } = paths;
  // One after the other: where both are unusable, the first one is reported in every run.
  const cert = await readPem('tlsCert', tlsCert);
  const key = await readPem('tlsKey', tlsKey);
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
      `tlsClientCa: no certificate of ${tlsClientCa} is valid now, so no client could connect; renew them`,
    ]);
  }
  return { ...found, clientCa };
}

/** The certificates of a running server; they can be reloaded from their files. */
export interface CertificateStore {
  /** The certificates in force. */
  readonly current: Certificates;
  /** Whether clients need a certificate (`tlsClientCa`). */
  readonly mutual: boolean;
  /**
   * Reloads the files.
   * @throws ServeConfigError if they are unusable; then the current certificates stay in force.
   */
  reload(): Promise<Certificates>;
  /** Calls the listener after every reload. */
  onReload(listener: (certificates: Certificates) => void): void;
}

/** @throws ServeConfigError naming the configuration key and the unusable file. */
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
