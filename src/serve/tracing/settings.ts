/**
 * The variables of OpenTelemetry that this service reads itself. The SDK reads the others: samplers, resource attributes, limits, and
 * those of the exporter (endpoint, headers, certificates, compression, timeouts).
 */

/** The protocols of OTLP by the names that OTEL_EXPORTER_OTLP_PROTOCOL has for them. */
export const otlpProtocols = ['grpc', 'http/protobuf', 'http/json'] as const;
export type OtlpProtocol = (typeof otlpProtocols)[number];

/** The default of OpenTelemetry's specification. */
const DEFAULT_PROTOCOL: OtlpProtocol = 'http/protobuf';

export interface TraceSettings {
  readonly protocol: OtlpProtocol;
  /** Whether spans continue the traces of callers. */
  readonly propagated: boolean;
}

/** The settings, or undefined if calls are not traced; and a warning for each value that is ignored. */
export interface ReadTraceSettings {
  readonly settings: TraceSettings | undefined;
  readonly warnings: readonly string[];
}

const listOf = (text: string): string[] =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');

/**
 * Reads the variables that switch tracing on. It is on if `OTEL_TRACES_EXPORTER` is `otlp`, or if that is not set and there is an
 * endpoint (`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, `OTEL_EXPORTER_OTLP_ENDPOINT`). An unusable value is ignored with a warning, as
 * OpenTelemetry's specification demands: traces must not keep a service from starting.
 */
export function readTraceSettings(env: Readonly<NodeJS.ProcessEnv>): ReadTraceSettings {
  const warnings: string[] = [];
  // An empty variable counts as unset, by the specification.
  const value = (name: string): string => env[name]?.trim() ?? '';
  const ignored = (name: string, what: string, instead: string): void => {
    warnings.push(`${name}: ${JSON.stringify(what.slice(0, 100))} is ignored; ${instead}`);
  };

  if (value('OTEL_SDK_DISABLED').toLowerCase() === 'true') return { settings: undefined, warnings };
  const exporters = listOf(value('OTEL_TRACES_EXPORTER'));
  const known = exporters.filter((name) => ['otlp', 'none'].includes(name));
  for (const name of exporters) {
    if (!known.includes(name)) ignored('OTEL_TRACES_EXPORTER', name, 'use otlp or none');
  }
  const endpoint = value('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT') || value('OTEL_EXPORTER_OTLP_ENDPOINT');
  const on = known.length > 0 ? known.includes('otlp') : endpoint !== '';
  if (!on) return { settings: undefined, warnings };

  const ofTraces = 'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL';
  const name = value(ofTraces) === '' ? 'OTEL_EXPORTER_OTLP_PROTOCOL' : ofTraces;
  const given = value(name);
  const protocol = otlpProtocols.find((each) => each === given) ?? DEFAULT_PROTOCOL;
  if (given !== '' && given !== protocol) {
    ignored(name, given, `use ${otlpProtocols.join(', ')} (default ${DEFAULT_PROTOCOL})`);
  }
  // The default contains baggage, which has no use here.
  const propagators = listOf(value('OTEL_PROPAGATORS') || 'tracecontext,baggage');
  for (const each of propagators) {
    if (!['tracecontext', 'baggage', 'none'].includes(each)) {
      ignored('OTEL_PROPAGATORS', each, 'only tracecontext is read; use tracecontext or none');
    }
  }
  return { settings: { protocol, propagated: propagators.includes('tracecontext') }, warnings };
}
