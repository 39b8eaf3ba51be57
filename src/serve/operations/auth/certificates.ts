import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
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

/** Number of days before a certificate expires at which its operator is warned. */
const WARN_DAYS = 14;

/** Whether a certificate should be renewed now. */
export const expiresSoon = (expires: Date): boolean => expires.getTime() - Date.now() < WARN_DAYS * 86_400_000;

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;

/** A block of any kind, such as a key in the same file. */
const PEM_BLOCK = /-----BEGIN ([^-\r\n]*)-----(?:(?!-----BEGIN)[\s\S])*?-----END \1-----/g;

async function readPem(key: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new ServeConfigError([`${key}: ${path} cannot be read: ${fileProblem(cause)}`], { cause });
  }
}

function parseCertificates(key: string, path: string, pem: Buffer): X509Certificate[] {
  const text = pem.toString('latin1');
  const blocks = text.match(CERTIFICATE) ?? [];
  // OpenSSL passes over such a block at the end of a list of authorities, whose clients would be rejected.
  if (/-----(BEGIN|END)|-----[BE][A-Z]*$/.test(text.replace(PEM_BLOCK, ''))) {
    throw new ServeConfigError([
      `${key}: ${path} is incomplete: a -----BEGIN line without its -----END line, or the reverse; write the file under another ` +
        'name, and rename it when it is whole',
    ]);
  }
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

/** @throws ServeConfigError with OpenSSL's reason if it does not accept the options, which differ by the named file. */
function checkAccepted(key: string, path: string, options: SecureContextOptions): void {
  try {
    createSecureContext(options);
  } catch (cause) {
    const { reason, message } = cause as Error & { readonly reason?: string };
    throw new ServeConfigError([`${key}: TLS cannot use ${path}: ${reason ?? message}`], { cause });
  }
}

/**
 * Reads the TLS files and checks them: they are whole PEM files that OpenSSL accepts, the certificate is valid now, and the key belongs
 * to it. The listeners can rely on that: grpc-js would drop every connection, with no other error than a line on stderr.
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
  checkAccepted('tlsCert', tlsCert, { cert });
  checkAccepted('tlsKey', tlsKey, { cert, key });
  const found = { cert, key, expires: new Date(leaf!.validTo), names: leaf!.subjectAltName ?? leaf!.subject };
  if (tlsClientCa === undefined) return found;
  const clientCa = await readPem('tlsClientCa', tlsClientCa);
  const authorities = parseCertificates('tlsClientCa', tlsClientCa, clientCa);
  if (authorities.every((authority) => timeFault(authority, now) !== undefined)) {
    throw new ServeConfigError([
      `tlsClientCa: no certificate of ${tlsClientCa} is valid now, so no client could connect; renew them`,
    ]);
  }
  checkAccepted('tlsClientCa', tlsClientCa, { cert, key, ca: clientCa });
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
   * @throws ServeConfigError if they are unusable, or the error of a listener; then the current certificates stay in force.
   */
  reload(): Promise<Certificates>;
  /** Calls the listener with the certificates of every reload, and with the previous ones if another listener throws. */
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
      const found = await readCertificates(paths);
      try {
        for (const listener of listeners) listener(found);
      } catch (error) {
        for (const listener of listeners) listener(current);
        throw error;
      }
      current = found;
      return found;
    },
    onReload: (listener) => void listeners.push(listener),
  };
}
