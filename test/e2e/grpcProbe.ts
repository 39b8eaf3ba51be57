import { once } from 'node:events';
import { connect, type IncomingHttpHeaders } from 'node:http2';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Client, credentials, type GrpcObject, loadPackageDefinition, type ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { service as healthService } from 'grpc-health-check';

/** A plain gRPC client, as grpcurl and orchestrators use the service. */

type Message = Record<string, unknown>;

function plainClient(address: string): Client {
  return new Client(address, credentials.createInsecure());
}

/** The serving status of a service by name; empty is the whole server. */
export async function checkHealth(address: string, service = ''): Promise<string> {
  const { Check } = healthService;
  const client = plainClient(address);
  try {
    const answer = await new Promise<Message>((resolve, reject) => {
      client.makeUnaryRequest(
        Check!.path,
        Check!.requestSerialize,
        Check!.responseDeserialize,
        { service },
        (e, value) => (e ? reject(e) : resolve(value as Message)),
      );
    });
    return String(answer['status']);
  } finally {
    client.close();
  }
}

/** A health watch that stays open. */
export interface HealthWatch {
  /** Each status as it came. */
  readonly seen: string[];
  /** Resolves when another status has come. */
  next(): Promise<void>;
  end(): void;
}

export function watchHealth(address: string): HealthWatch {
  const { Watch } = healthService;
  const client = plainClient(address);
  const seen: string[] = [];
  const stream = client.makeServerStreamRequest(Watch!.path, Watch!.requestSerialize, Watch!.responseDeserialize, {
    service: '',
  });
  stream.on('data', (answer: Message) => seen.push(String(answer['status'])));
  stream.on('error', () => {});
  return {
    seen,
    next: () => new Promise((resolve) => stream.once('data', () => resolve())),
    end: () => client.close(),
  };
}

/** Names of the services that the reflection stream lists. */
export async function listServices(address: string): Promise<string[]> {
  const folder = dirname(createRequire(import.meta.url).resolve('@grpc/reflection/package.json'));
  const definition = loadSync(join(folder, 'build/proto/grpc/reflection/v1/reflection.proto'), { keepCase: true });
  const reflection = loadPackageDefinition(definition) as unknown as {
    grpc: { reflection: { v1: { ServerReflection: { service: ServiceDefinition } & GrpcObject } } };
  };
  const method = reflection.grpc.reflection.v1.ServerReflection.service['ServerReflectionInfo']!;
  const client = plainClient(address);
  try {
    const answer = await new Promise<Message>((resolve, reject) => {
      const stream = client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize);
      stream.on('data', (value: Message) => {
        stream.end();
        resolve(value);
      });
      stream.on('error', reject);
      stream.write({ list_services: '' });
    });
    const list = answer['list_services_response'] as { service: { name: string }[] };
    return list.service.map(({ name }) => name);
  } finally {
    client.close();
  }
}

/** Sends bytes that need not be a message to a method. @returns the details of the error */
export async function sendBytes(
  address: string,
  path: string,
  bytes: Buffer,
): Promise<{ code: number; details: string }> {
  const client = plainClient(address);
  const pass = (value: Buffer) => value;
  try {
    return await new Promise((resolve, reject) => {
      client.makeUnaryRequest(path, pass, pass, bytes, (error) =>
        error ? resolve(error) : reject(new Error('the bytes were accepted')),
      );
    });
  } finally {
    client.close();
  }
}

/**
 * Begins a unary call and never sends its message.
 * @returns the headers that the service answers with, the status among them
 */
export async function callWithoutMessage(
  address: string,
  path: string,
  metadata: Readonly<Record<string, string>>,
): Promise<IncomingHttpHeaders> {
  const session = connect(`http://${address}`);
  try {
    const stream = session.request(
      { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers', ...metadata },
      { endStream: false },
    );
    const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders];
    return headers;
  } finally {
    session.destroy();
  }
}
