import { experimental, ServerCredentials } from '@grpc/grpc-js';
import type { CertificateStore, Certificates } from '../operations/auth/certificates.js';

type CaListener = Parameters<experimental.CertificateProvider['addCaCertificateListener']>[0];
type IdentityListener = Parameters<experimental.CertificateProvider['addIdentityCertificateListener']>[0];

/**
 * Credentials of a gRPC server whose certificates can be reloaded: new connections use the new ones, open connections stay.
 * With `tlsClientCa`, clients without a certificate of these authorities are rejected.
 * @param store undefined: without TLS
 */
export function serverCredentials(store: CertificateStore | undefined): ServerCredentials {
  if (!store) return ServerCredentials.createInsecure();
  const caListeners = new Set<CaListener>();
  const identityListeners = new Set<IdentityListener>();
  const sendCa = (listener: CaListener, { clientCa }: Certificates): void => listener({ caCertificate: clientCa! });
  const sendIdentity = (listener: IdentityListener, { cert, key }: Certificates): void =>
    listener({ certificate: cert, privateKey: key });
  const provider: experimental.CertificateProvider = {
    // In a microtask: grpc-js registers its own inner listener only after this one.
    addCaCertificateListener(listener) {
      caListeners.add(listener);
      queueMicrotask(() => sendCa(listener, store.current));
    },
    removeCaCertificateListener: (listener) => caListeners.delete(listener),
    addIdentityCertificateListener(listener) {
      identityListeners.add(listener);
      queueMicrotask(() => sendIdentity(listener, store.current));
    },
    removeIdentityCertificateListener: (listener) => identityListeners.delete(listener),
  };
  store.onReload((certificates) => {
    for (const listener of identityListeners) sendIdentity(listener, certificates);
    for (const listener of caListeners) sendCa(listener, certificates);
  });
  // The first argument is the server's own certificate; the name of the parameter in grpc-js is misleading.
  return experimental.createCertificateProviderServerCredentials(
    provider,
    store.mutual ? provider : null,
    store.mutual,
  );
}
