import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { loadPackageDefinition, Server, ServerCredentials, type ServiceClientConstructor } from '@grpc/grpc-js';
import { fromJSON } from '@grpc/proto-loader';
import protobuf from 'protobufjs';

/** A span as OTLP has it, with ids in hex and attributes as an object. */
export interface CollectedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for a root. */
  readonly parentSpanId: string;
  readonly traceState: string;
  readonly name: string;
  /** 1 internal, 2 server. */
  readonly kind: number;
  readonly start: bigint;
  readonly end: bigint;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  /** 0 unset, 2 error. */
  readonly status: number;
  readonly resource: Readonly<Record<string, unknown>>;
}

interface AnyValue {
  readonly stringValue?: string;
  readonly intValue?: { toString(): string } | string | number;
  readonly doubleValue?: number;
  readonly boolValue?: boolean;
}

type KeyValues = readonly { readonly key: string; readonly value: AnyValue }[];

interface WireSpan {
  readonly traceId: Uint8Array | string;
  readonly spanId: Uint8Array | string;
  readonly parentSpanId?: Uint8Array | string;
  readonly traceState?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: { toString(): string };
  readonly endTimeUnixNano: { toString(): string };
  readonly attributes?: KeyValues;
  readonly links?: readonly { readonly traceId: Uint8Array | string; readonly spanId: Uint8Array | string }[];
  readonly status?: { readonly code?: number };
}

interface ExportRequest {
  readonly resourceSpans?: readonly {
    readonly resource?: { readonly attributes?: KeyValues };
    readonly scopeSpans?: readonly { readonly spans?: readonly WireSpan[] }[];
  }[];
}

/** OTLP in JSON has ids in hex already. */
const hex = (id: Uint8Array | string = ''): string => (typeof id === 'string' ? id : Buffer.from(id).toString('hex'));

const attributesOf = (pairs: KeyValues = []): Record<string, unknown> =>
  Object.fromEntries(
    pairs.map(({ key, value }) => [
      key,
      value.stringValue ??
        (value.intValue === undefined ? (value.doubleValue ?? value.boolValue) : Number(value.intValue)),
    ]),
  );

function spansOf({ resourceSpans = [] }: ExportRequest): CollectedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans = [] }) =>
    scopeSpans.flatMap(({ spans = [] }) =>
      spans.map((span) => ({
        traceId: hex(span.traceId),
        spanId: hex(span.spanId),
        parentSpanId: hex(span.parentSpanId),
        traceState: span.traceState ?? '',
        name: span.name,
        kind: span.kind,
        start: BigInt(String(span.startTimeUnixNano)),
        end: BigInt(String(span.endTimeUnixNano)),
        attributes: attributesOf(span.attributes),
        links: (span.links ?? []).map(({ traceId, spanId }) => ({ traceId: hex(traceId), spanId: hex(spanId) })),
        status: span.status?.code ?? 0,
        resource: attributesOf(resource?.attributes),
      })),
    ),
  );
}

/** A collector of spans, made of OTLP's public contract. */
export interface OtlpCollector {
  /** URLs of its two listeners, for OTEL_EXPORTER_OTLP_ENDPOINT. */
  readonly grpc: string;
  readonly http: string;
  /** What has arrived so far. */
  readonly spans: CollectedSpan[];
  /** The content types of the requests over HTTP. */
  readonly contentTypes: (string | undefined)[];
  close(): Promise<void>;
}

export async function startOtlpCollector(): Promise<OtlpCollector> {
  const root = new protobuf.Root();
  const folder = fileURLToPath(new URL('../../../test/fixtures/otlp/', import.meta.url));
  root.resolvePath = (_origin, target) => folder + target;
  root.loadSync('opentelemetry/proto/collector/trace/v1/trace_service.proto');
  const request = root.lookupType('opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest');
  const loaded = loadPackageDefinition(fromJSON(root.toJSON() as never, {})) as never as {
    opentelemetry: { proto: { collector: { trace: { v1: { TraceService: ServiceClientConstructor } } } } };
  };
  const spans: CollectedSpan[] = [];
  const contentTypes: (string | undefined)[] = [];

  const server = new Server();
  server.addService(loaded.opentelemetry.proto.collector.trace.v1.TraceService.service, {
    Export(call: { readonly request: ExportRequest }, callback: (error: null, answer: object) => void) {
      spans.push(...spansOf(call.request));
      callback(null, {});
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });

  const http = createServer(async (incoming, response) => {
    const body = await buffer(incoming);
    const type = incoming.headers['content-type'];
    contentTypes.push(type);
    if (incoming.url !== '/v1/traces') {
      response.writeHead(404).end();
      return;
    }
    const decoded = type === 'application/json' ? JSON.parse(body.toString()) : request.toObject(request.decode(body));
    spans.push(...spansOf(decoded as ExportRequest));
    response.writeHead(200, { 'content-type': type }).end(type === 'application/json' ? '{}' : Buffer.alloc(0));
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  return {
    grpc: `http://127.0.0.1:${port}`,
    http: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    spans,
    contentTypes,
    async close() {
      server.forceShutdown();
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}
