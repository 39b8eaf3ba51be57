import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readTraceSettings } from './settings.js';

const on = (env: Record<string, string>): boolean => readTraceSettings(env).settings !== undefined;

test('an endpoint or the exporter otlp switches traces on, and nothing else does', () => {
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' };
  assert.equal(on({}), false);
  assert.equal(
    on({ OTEL_SERVICE_NAME: 'a', OTEL_TRACES_SAMPLER: 'always_on', OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }),
    false,
  );
  assert.equal(on(endpoint), true);
  assert.equal(on({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://collector:4318/v1/traces' }), true);
  assert.equal(on({ OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: 'http://collector:4318/v1/metrics' }), false);
  assert.equal(on({ OTEL_TRACES_EXPORTER: 'otlp' }), true);
  assert.equal(on({ ...endpoint, OTEL_TRACES_EXPORTER: 'none' }), false);
  assert.equal(on({ ...endpoint, OTEL_SDK_DISABLED: 'True' }), false);
  assert.equal(on({ OTEL_EXPORTER_OTLP_ENDPOINT: ' ', OTEL_TRACES_EXPORTER: '' }), false, 'empty counts as unset');
});

test('the protocol is that of traces, else that of all signals, else the one of the specification', () => {
  const protocolOf = (env: Record<string, string>) =>
    readTraceSettings({ OTEL_TRACES_EXPORTER: 'otlp', ...env }).settings?.protocol;
  assert.equal(protocolOf({}), 'http/protobuf');
  assert.equal(protocolOf({ OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }), 'grpc');
  const both = { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc', OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'http/json' };
  assert.equal(protocolOf(both), 'http/json');
});

test('an unusable value is ignored, with a warning that names the variable, the value and the way out', () => {
  const { settings, warnings } = readTraceSettings({
    OTEL_TRACES_EXPORTER: 'zipkin',
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4317',
    OTEL_EXPORTER_OTLP_PROTOCOL: 'thrift',
    OTEL_PROPAGATORS: 'b3',
  });
  assert.deepEqual(settings, { protocol: 'http/protobuf', propagated: false });
  assert.deepEqual(warnings, [
    'OTEL_TRACES_EXPORTER: "zipkin" is ignored; use otlp or none',
    'OTEL_EXPORTER_OTLP_PROTOCOL: "thrift" is ignored; use grpc, http/protobuf, http/json (default http/protobuf)',
    'OTEL_PROPAGATORS: "b3" is ignored; only tracecontext is read; use tracecontext or none',
  ]);
});

test('callers are followed unless the propagators lack tracecontext', () => {
  const propagated = (OTEL_PROPAGATORS: string) =>
    readTraceSettings({ OTEL_TRACES_EXPORTER: 'otlp', OTEL_PROPAGATORS }).settings?.propagated;
  assert.deepEqual(['', 'tracecontext', 'baggage,tracecontext', 'none'].map(propagated), [true, true, true, false]);
});
