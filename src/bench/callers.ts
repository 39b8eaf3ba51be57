import { type ChannelCredentials, Client, credentials, Metadata, type MethodDefinition, status } from '@grpc/grpc-js';
import { loadVicreglService } from '../proto/load.js';
import type { Caller, Outcome } from './load.js';
import { type BenchMethod, isStream, requestMessage } from './methods.js';

/** The service to call, and the contents of the calls. */
export interface Target {
  /** HOST:PORT of the service. */
  readonly address: string;
  readonly method: BenchMethod;
  /** Encoded images, which are sent round-robin. */
  readonly images: readonly Uint8Array[];
  /** Deadline of a unary call in ms. */
  readonly deadlineMs: number;
  /** Number of connections, used round-robin; the number of concurrent calls per connection is limited. */
  readonly connections: number;
  /** PEM of the certificate authority for the service's certificate; without it, TLS is not used. */
  readonly ca?: Buffer;
  /** Is sent as `authorization: Bearer TOKEN`. */
  readonly token?: string;
}

/** Open connections to a service. */
export interface Connected {
  readonly call: Caller;
  close(): void;
}

type Definition = MethodDefinition<object, object>;
type RawDefinition = Definition & {
  requestSerialize(value: object): Buffer;
  responseDeserialize(bytes: Buffer): unknown;
};

const identity = (bytes: Buffer): Buffer => bytes;

/** Keys of phase times in the trailing metadata: `vicregl-phase-NAME-ms`, and `vicregl-total-ms` for the whole call. */
const phaseKey = /^vicregl-(?:phase-)?(.+)-ms$/;

function phasesOf(metadata: Metadata): Record<string, number> {
  const phases: Record<string, number> = {};
  for (const [key, value] of Object.entries(metadata.getMap())) {
    const name = phaseKey.exec(key)?.[1];
    if (name !== undefined) phases[name] = Number(value);
  }
  return phases;
}

/** Requests are serialized once and responses are not parsed, so that the service is measured and not this client. */
function unaryCaller(client: Client, definition: RawDefinition, target: Target, metadata: Metadata): Caller {
  const messages = target.images.map((_, i) =>
    definition.requestSerialize(requestMessage(target.method, target.images, i)),
  );
  let next = 0;
  return () =>
    new Promise<Outcome>((resolve) => {
      const deadline = Date.now() + target.deadlineMs;
      client
        .makeUnaryRequest(
          ...([
            definition.path,
            identity,
            identity,
            messages[next++ % messages.length]!,
            metadata,
            { deadline },
          ] as const),
          () => {},
        )
        .on('status', ({ code, metadata: trailers }) =>
          resolve({ code: status[code] ?? String(code), phases: phasesOf(trailers) }),
        );
    });
}

interface StreamResponse {
  readonly id: string;
  readonly status?: { readonly code: number } | null;
  readonly times?: Readonly<Record<string, number>> | null;
}

/** The phase times of a stream item, which are fields such as decodeMs. */
function itemPhases(times: StreamResponse['times']): Record<string, number> {
  return Object.fromEntries(
    Object.entries(times ?? {})
      .filter(([name]) => name.endsWith('Ms'))
      .map(([name, ms]) => [name.slice(0, -2), ms]),
  );
}

/** Each call is an item of one stream, which is reopened if it ends. */
function streamCaller(client: Client, definition: RawDefinition, target: Target, metadata: Metadata): Caller {
  const pending = new Map<string, (outcome: Outcome) => void>();
  const open = () => {
    const stream = client.makeBidiStreamRequest(
      definition.path,
      definition.requestSerialize,
      definition.responseDeserialize,
      metadata,
    );
    stream.on('data', (response: StreamResponse) => {
      const code = response.status?.code ?? status.OK;
      pending.get(response.id)?.({ code: status[code] ?? String(code), phases: itemPhases(response.times) });
      pending.delete(response.id);
    });
    stream.on('error', () => {});
    stream.on('status', ({ code }) => {
      for (const resolve of pending.values()) resolve({ code: status[code] ?? String(code), phases: {} });
      pending.clear();
      current = undefined;
    });
    return stream;
  };
  let current: ReturnType<typeof open> | undefined;
  let next = 0;
  return () =>
    new Promise<Outcome>((resolve) => {
      current ??= open();
      const id = String(next);
      pending.set(id, resolve);
      current.write({ id, request: requestMessage(target.method, target.images, next++) });
    });
}

function channelCredentials({ ca }: Target): ChannelCredentials {
  return ca === undefined ? credentials.createInsecure() : credentials.createSsl(ca);
}

/** Opens the connections of a target and waits until they are ready. @throws Error if one is not ready within 10 s. */
export async function connect(target: Target): Promise<Connected> {
  const definition = loadVicreglService().service[target.method] as unknown as RawDefinition;
  const metadata = new Metadata();
  if (target.token !== undefined) metadata.set('authorization', `Bearer ${target.token}`);
  const clients = Array.from(
    { length: target.connections },
    () =>
      new Client(target.address, channelCredentials(target), {
        'grpc.max_receive_message_length': -1,
        'grpc.max_send_message_length': -1,
        // Otherwise clients with the same address share a connection.
        'grpc.use_local_subchannel_pool': 1,
      }),
  );
  await Promise.all(
    clients.map(
      (client) =>
        new Promise<void>((resolve, reject) =>
          client.waitForReady(Date.now() + 10_000, (error) => (error ? reject(error) : resolve())),
        ),
    ),
  );
  const make = isStream(target.method) ? streamCaller : unaryCaller;
  const callers = clients.map((client) => make(client, definition, target, metadata));
  let next = 0;
  return {
    call: () => callers[next++ % callers.length]!(),
    close() {
      for (const client of clients) client.close();
    },
  };
}
