import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadVicreglService } from '../proto/load.js';
import { balancedChannels } from './balancing.js';

const methods = loadVicreglService().service;

interface Config {
  readonly loadBalancingConfig: unknown;
  readonly methodConfig: readonly {
    readonly name: readonly { readonly method: string }[];
    readonly retryPolicy: unknown;
  }[];
  readonly retryThrottling?: unknown;
}

const configOf = (options: Parameters<typeof balancedChannels>[1]): Config =>
  JSON.parse(String(balancedChannels(methods, options).calls['grpc.service_config']));

test('every method with one request is retried when UNAVAILABLE, twice, and nothing else is', () => {
  const { methodConfig, loadBalancingConfig, retryThrottling } = configOf({});
  assert.deepEqual(loadBalancingConfig, [{ round_robin: {} }]);
  const [{ name, retryPolicy }] = methodConfig as [Config['methodConfig'][number]];
  const streams = Object.entries(methods).flatMap(([method, { requestStream }]) => (requestStream ? [method] : []));
  assert.deepEqual(streams, ['EmbedStream', 'ExtractFeaturesStream']);
  assert.deepEqual(
    name.map(({ method }) => method).sort(),
    Object.keys(methods)
      .filter((method) => !streams.includes(method))
      .sort(),
  );
  assert.deepEqual(retryPolicy, {
    maxAttempts: 3,
    initialBackoff: '0.1s',
    maxBackoff: '2s',
    backoffMultiplier: 4,
    retryableStatusCodes: ['UNAVAILABLE'],
  });
  assert.deepEqual(retryThrottling, { maxTokens: 512, tokenRatio: 0.1 });
});

test('messages are kept for a retry of calls, up to 128 MiB each, and not for streams of requests', () => {
  const { calls, itemStreams } = balancedChannels(methods, {});
  const MiB = 1024 * 1024;
  const sizes = { 'grpc.per_rpc_retry_buffer_size': 128 * MiB, 'grpc.retry_buffer_size': 512 * MiB };
  assert.deepEqual(calls, { ...itemStreams, ...sizes });
  for (const name of Object.keys(sizes)) assert.equal(name in itemStreams, false);
});

test('a method of which the contract does not say that it may be repeated is not retried', () => {
  const unknown = { ...methods.Embed, options: { ...methods.Embed.options, idempotency_level: 'IDEMPOTENCY_UNKNOWN' } };
  const { calls } = balancedChannels({ ...methods, Embed: unknown as typeof methods.Embed }, {});
  const { methodConfig } = JSON.parse(String(calls['grpc.service_config'])) as Config;
  assert.ok(!methodConfig[0]!.name.some(({ method }) => method === 'Embed'));
});

test('without retries no method has a policy and no message is kept', () => {
  assert.deepEqual(configOf({ retries: false, loadBalancing: 'pick_first' }), {
    loadBalancingConfig: [{ pick_first: {} }],
    methodConfig: [],
  });
  assert.equal('grpc.retry_buffer_size' in balancedChannels(methods, { retries: false }).calls, false);
});

test('values that are no policy, no flag or no interval of a timer are INVALID_ARGUMENT', () => {
  const wrong: [Parameters<typeof balancedChannels>[1], RegExp][] = [
    [{ loadBalancing: 'typo' as 'pick_first' }, /^loadBalancing: typo is not one of round_robin, pick_first/],
    [{ retries: 'false' as unknown as boolean }, /^retries: false must be true or false/],
    [{ keepaliveMs: 2 ** 31 }, /^keepaliveMs: 2147483648 must be a whole number between 0 and 2147483647/],
    [{ keepaliveTimeoutMs: 2 ** 31 }, /^keepaliveTimeoutMs: 2147483648/],
  ];
  for (const [options, message] of wrong) {
    assert.throws(() => balancedChannels(methods, options), { code: 'INVALID_ARGUMENT', message });
  }
});

test("options of the channel override the client's own", () => {
  const { calls, itemStreams } = balancedChannels(methods, { channelOptions: { 'grpc.keepalive_time_ms': 5 } });
  assert.equal(calls['grpc.keepalive_time_ms'], 5);
  assert.equal(itemStreams['grpc.keepalive_time_ms'], 5);
});
