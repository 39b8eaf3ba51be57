import type { Logger } from 'pino';
import { isLoopback, parseAddress } from '../../config/address.js';
import type { ServeConfig } from '../../config/schema.js';
import { createReload, type Reload, type Reloadable } from '../reload.js';
import { type CertificateStore, type Certificates, expiresSoon, openCertificateStore } from './certificates.js';
import { createTokenStore, type TokenStore } from './tokenStore.js';
import { readTokens } from './tokensFile.js';

/** TLS and tokens of a running service, and the reload of both. */
export interface Security {
  readonly tls?: CertificateStore;
  readonly store?: TokenStore;
  readonly reload: Reload;
}

function describeCertificates(logger: Logger, { expires, names }: Certificates): string {
  if (expiresSoon(expires)) logger.warn({ expires, names }, 'the certificate expires soon; renew it and send SIGHUP');
  return `the certificate of ${names}, valid until ${expires.toISOString()}`;
}

/**
 * Opens the files that the configuration names.
 * @param others further parts to reload
 * @throws ServeConfigError naming the configuration key and the unusable file.
 */
export async function openSecurity(
  config: ServeConfig,
  logger: Logger,
  others: readonly Reloadable[] = [],
): Promise<Security> {
  const { tlsCert, tlsKey, tlsClientCa, address, httpAddress } = config;
  const parts: Reloadable[] = [];
  const tls =
    tlsCert !== undefined && tlsKey !== undefined
      ? await openCertificateStore({ tlsCert, tlsKey, tlsClientCa })
      : undefined;
  if (tls) {
    describeCertificates(logger, tls.current);
    parts.push({ name: 'certificates', reload: async () => describeCertificates(logger, await tls.reload()) });
  }
  const entries = await readTokens(config);
  const store = entries && createTokenStore(entries, config);
  if (store) {
    parts.push({
      name: 'tokens',
      async reload() {
        const found = (await readTokens(config)) ?? [];
        store.replace(found);
        return `${found.length} tokens`;
      },
    });
  }
  const isOpen = (each: string, option: string): boolean =>
    each !== 'off' && !isLoopback(parseAddress(each, option).host);
  const open = isOpen(address, 'address') || isOpen(httpAddress, 'httpAddress');
  if (open && !store && tlsClientCa === undefined) {
    logger.warn(
      { address, httpAddress },
      'everyone who can reach this address may call; set tokensFile or tlsClientCa to restrict access',
    );
  } else if (open && store && !tls) {
    logger.warn({ address, httpAddress }, 'tokens are sent in plain text without TLS; set tlsCert and tlsKey');
  }
  return { ...(tls && { tls }), ...(store && { store }), reload: createReload([...parts, ...others], logger) };
}
