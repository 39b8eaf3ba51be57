import { experimental, type ServerCredentials } from '@grpc/grpc-js';
import { type CertificatePaths, type Certificates, readCertificates } from './certificates.js';

/** The server's side of TLS, whose files can be read again while it runs. */
export interface Tls {
  /** What holds now. */
  readonly current: Certificates;
  readonly credentials: ServerCredentials;
  /**
   * Reads the files again; new connections get them, those that are open stay.
   * @throws ServeConfigError when they cannot work; what held before still holds then.
   */
  reload(): Promise<Certificates>;
  /** Told after every reload. */
  onReload(listener: (certificates: Certificates) => void): void;
}

type CaListener = Parameters<experimental.CertificateProvider['addCaCertificateListener']>[0];
type IdentityListener = Parameters<experimental.CertificateProvider['addIdentityCertificateListener']>[0];

/**
 * TLS from PEM files; with `tlsClientCa`, clients without a certificate of these authorities are not let in.
 * @throws ServeConfigError naming the key and file that cannot work.
 */
export async function createTls(paths: CertificatePaths): Promise<Tls> {
  let current = await readCertificates(paths);
  const caListeners = new Set<CaListener>();
  const identityListeners = new Set<IdentityListener>();
  const reloadListeners: ((certificates: Certificates) => void)[] = [];
  const tellCa = (listener: CaListener): void => listener({ caCertificate: current.clientCa! });
  const tellIdentity = (listener: IdentityListener): void =>
    listener({ certificate: current.cert, privateKey: current.key });
  const provider: experimental.CertificateProvider = {
    // Told a moment later: grpc-js listens to itself only after it has begun to listen here.
    addCaCertificateListener(listener) {
      caListeners.add(listener);
      queueMicrotask(() => tellCa(listener));
    },
    removeCaCertificateListener: (listener) => caListeners.delete(listener),
    addIdentityCertificateListener(listener) {
      identityListeners.add(listener);
      queueMicrotask(() => tellIdentity(listener));
    },
    removeIdentityCertificateListener: (listener) => identityListeners.delete(listener),
  };
  const mutual = paths.tlsClientCa !== undefined;
  return {
    get current() {
      return current;
    },
    // The first is the server's own certificate, whatever grpc-js calls the parameter.
    credentials: experimental.createCertificateProviderServerCredentials(provider, mutual ? provider : null, mutual),
    async reload() {
      current = await readCertificates(paths);
      for (const listener of identityListeners) tellIdentity(listener);
      for (const listener of caListeners) tellCa(listener);
      for (const listener of reloadListeners) listener(current);
      return current;
    },
    onReload: (listener) => void reloadListeners.push(listener),
  };
}
