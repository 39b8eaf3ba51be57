import { error, type Finding, lineOf, ok, warning } from './finding.js';

const CHECK = 'security';

/** What the configuration says of TLS and tokens. What a function throws is a finding. */
export interface SecurityFacts {
  /** Reads the server's certificate; undefined without TLS. */
  readonly certificate: () => Promise<
    { readonly names: string; readonly expires: Date; readonly soon: boolean } | undefined
  >;
  /** Reads the tokens. @returns their number; undefined if calls need none */
  readonly tokens: () => Promise<number | undefined>;
}

const STOPS = 'The service does not start with it. Mend the file, or leave the key out.';

async function finding(read: () => Promise<Finding>, what: string): Promise<Finding> {
  try {
    return await read();
  } catch (thrown) {
    return error(CHECK, `${what} cannot be used`, `${lineOf(thrown)}. ${STOPS}`);
  }
}

/** Whether the files of TLS and tokens can be used, as the service reads them at its start. */
export async function checkSecurity({ certificate, tokens }: SecurityFacts): Promise<Finding[]> {
  return [
    await finding(async () => {
      const found = await certificate();
      if (found === undefined) return ok(CHECK, 'no TLS');
      const text = `TLS with the certificate of ${found.names}, valid until ${found.expires.toISOString()}`;
      return found.soon
        ? warning(CHECK, text, 'It expires soon: renew it, and send the service SIGHUP.')
        : ok(CHECK, text);
    }, 'TLS'),
    await finding(async () => {
      const count = await tokens();
      return ok(CHECK, count === undefined ? 'no tokens: calls need none' : `${count} token${count === 1 ? '' : 's'}`);
    }, 'the list of tokens'),
  ];
}
