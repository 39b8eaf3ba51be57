import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { FastifyRequest } from 'fastify';
import { ServeError } from '../call/serveError.js';
import { createTokenStore, hashToken } from '../operations/auth/tokenStore.js';
import { type HttpAdmissionOptions, httpAdmission } from './admission.js';
import type { RouteConfig } from './httpHost.js';

type Headers = Readonly<Record<string, string>>;

const HOST = '127.0.0.1:8080';
const store = createTokenStore([{ name: 'web', sha256: hashToken('secret').toString('hex'), admin: false }]);
const authorization = 'Bearer secret';

function admit(headers: Headers, options: Partial<HttpAdmissionOptions> = {}, config: RouteConfig = {}) {
  const request = {
    headers: { host: HOST, ...headers },
    method: 'POST',
    routeOptions: { url: '/v1/embed', config },
    call: { identity: { caller: undefined as string | undefined } },
  };
  const admission = httpAdmission({
    ...{ store: undefined, models: { full: undefined }, corsOrigins: [], onLoopback: true },
    draining: new AbortController().signal,
    ...options,
  });
  admission(request as unknown as FastifyRequest);
  return request;
}

const refused = (code: string, headers: Headers, ...rest: [Partial<HttpAdmissionOptions>?, RouteConfig?]) =>
  assert.throws(
    () => admit(headers, ...rest),
    (error: unknown) => error instanceof ServeError && error.code === code,
    JSON.stringify(headers),
  );

describe('a request over HTTP', () => {
  test('of a page is admitted for the listener itself, and for no origin that only begins as it', () => {
    for (const origin of [`http://${HOST}`, `https://${HOST}`]) admit({ origin });
    for (const origin of [
      ...[`http://${HOST}1`, `http://${HOST}.evil.example`, `https://${HOST}@evil.example`],
      ...['http://127.0.0.1', 'http://127.0.0.1:80', 'null', '', `ftp://${HOST}`, 'https://evil.example'],
    ]) {
      refused('forbidden_origin', { origin });
    }
  });

  test('of a page of a configured origin is admitted, compared as a whole', () => {
    const corsOrigins = ['https://app.example'];
    admit({ origin: 'https://app.example' }, { corsOrigins });
    for (const origin of ['https://app.example.evil.example', 'https://app.exampl', 'http://app.example']) {
      refused('forbidden_origin', { origin }, { corsOrigins });
    }
    admit({ origin: 'https://other.example' }, { corsOrigins: ['*'] });
  });

  test('without tokens reaches a listener on loopback by the names of this machine alone', () => {
    for (const host of ['127.0.0.1', '127.0.0.1:1', 'localhost:8080', '[::1]:8080']) admit({ host });
    for (const host of ['rebound.example', 'rebound.example:8080', 'localhost.evil.example', '10.0.0.1:8080', '']) {
      refused('forbidden_origin', { host });
      admit({ host }, { onLoopback: false });
      admit({ host, authorization }, { store });
    }
  });

  test('names its caller, and does not keep the token', () => {
    const { headers, call } = admit({ authorization }, { store });
    assert.deepEqual(headers, { host: HOST });
    assert.equal(call.identity.caller, 'web');
    refused('unauthenticated', { authorization: 'Bearer other' }, { store });
    refused('unauthenticated', {}, { store });
    admit({}, { store }, { open: true });
    // A token that nobody asked for is not kept either.
    assert.deepEqual(admit({ authorization }).headers, { host: HOST });
  });

  test('is refused while the server shuts down, and an image while all queues are full', () => {
    const full = new ServeError('overloaded', 'the queue is full', { limit: { name: 'queueImages', value: 1 } });
    refused('overloaded', {}, { models: { full } }, { queueing: true });
    admit({}, { models: { full } });
    const draining = AbortSignal.abort();
    refused('shutting_down', {}, { draining });
    admit({}, { draining }, { open: true });
  });
});
