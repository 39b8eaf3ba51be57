import { type ChannelCredentials, Client, credentials, Metadata, type MethodDefinition, status } from '@grpc/grpc-js';
import { loadVicreglService } from '../proto/load.js';
import type { Caller, Outcome } from './load.js';
import { type BenchMethod, isStream, requestMessage } from './methods.js';

/** Where calls go and what they carry. */
export interface Target {
  /** HOST:PORT of the service. */
  readonly address: string;
  readonly method: BenchMethod;
  /** Encoded images, sent in turn. */
  readonly images: readonly Uint8Array[];
  /** Longest wait for an answer in ms. */
  readonly deadlineMs: number;
  /** Connections among which calls take turns: one carries a bounded number of calls at a time. */
  readonly connections: number;
  /** PEM of the authority that the service's certificate must come from; without, there is no TLS. */
  readonly ca?: Buffer;
  /** Sent as `authorization: Bearer TOKEN`. */
  readonly token?: string;
}

/** Connections to a service, ready to call it. */
export interface Connected {
  readonly call: Caller;
  close(): void;
}

type Definition = MethodDefinition<object, object>;
type RawDefinition = Definition & {
  requestSerialize(value: object): Buffer;
  responseDeserialize(bytes: Buffer): unknown;
};

const pass = (bytes: Buffer): Buffer => bytes;

/** Phase times are trailing metadata `vicregl-phase-NAME-ms`; `vicregl-total-ms` is all of the call. */
const phaseKey = /^vicregl-(?:phase-)?(.+)-ms$/;

function phasesOf(metadata: Metadata): Record<string, number> {
  const phases: Record<string, number> = {};
  for (const [key, value] of Object.entries(metadata.getMap())) {
    const name = phaseKey.exec(key)?.[1];
    if (name !== undefined) phases[name] = Number(value);
  }
  return phases;
}

/** Requests are serialised once and answers are not read: what is measured is the service, not this client. */
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
          ...([definition.path, pass, pass, messages[next++ % messages.length]!, metadata, { deadline }] as const),
          () => {},
        )
        .on('status', ({ code, metadata: trailers }) =>
          resolve({ code: status[code] ?? String(code), phases: phasesOf(trailers) }),
        );
    });
}

interface StreamAnswer {
  readonly id: string;
  readonly status?: { readonly code: number } | null;
  readonly times?: Readonly<Record<string, number>> | null;
}

/** The phases of a stream's item: fields such as decodeMs. */
function itemPhases(times: StreamAnswer['times']): Record<string, number> {
  return Object.fromEntries(
    Object.entries(times ?? {})
      .filter(([name]) => name.endsWith('Ms'))
      .map(([name, ms]) => [name.slice(0, -2), ms]),
  );
}

/** Every call is an item of one stream, which is opened again should it end. */
function streamCaller(client: Client, definition: RawDefinition, target: Target, metadata: Metadata): Caller {
  const waiting = new Map<string, (outcome: Outcome) => void>();
  const open = () => {
    const stream = client.makeBidiStreamRequest(
      definition.path,
      definition.requestSerialize,
      definition.responseDeserialize,
      metadata,
    );
    stream.on('data', (answer: StreamAnswer) => {
      const code = answer.status?.code ?? status.OK;
      waiting.get(answer.id)?.({ code: status[code] ?? String(code), phases: itemPhases(answer.times) });
      waiting.delete(answer.id);
    });
    stream.on('error', () => {});
    stream.on('status', ({ code }) => {
      for (const resolve of waiting.values()) resolve({ code: status[code] ?? String(code), phases: {} });
      waiting.clear();
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
      waiting.set(id, resolve);
      current.write({ id, request: requestMessage(target.method, target.images, next++) });
    });
}

function channelCredentials({ ca }: Target): ChannelCredentials {
  return ca === undefined ? credentials.createInsecure() : credentials.createSsl(ca);
}

/** Opens the connections of a target and waits until each stands. */
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
        // Clients of one address share a connection otherwise.
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
  let turn = 0;
  return {
    call: () => callers[turn++ % callers.length]!(),
    close() {
      for (const client of clients) client.close();
    },
  };
}
