import { once } from 'node:events';
import { connect, type IncomingHttpHeaders } from 'node:http2';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Client, credentials, type ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { service as healthService } from 'grpc-health-check';

/** A plain gRPC client, as grpcurl and orchestrators are. */

type Message = Record<string, unknown>;

function plainClient(address: string): Client {
  return new Client(address, credentials.createInsecure());
}

/** The serving status of a service by name. The empty name is the whole server. */
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
  /** All received statuses in order. */
  readonly seen: string[];
  /** Resolves when another status arrives. */
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

/** The versions of reflection that generic clients use. */
export const reflectionVersions = ['v1', 'v1alpha'] as const;

/** Sends requests to reflection over one stream, in the form of its own proto. @returns the answers in order */
export async function reflect(
  address: string,
  version: (typeof reflectionVersions)[number],
  requests: readonly Message[],
): Promise<Message[]> {
  const folder = dirname(createRequire(import.meta.url).resolve('@grpc/reflection/package.json'));
  const definition = loadSync(join(folder, `build/proto/grpc/reflection/${version}/reflection.proto`), {
    keepCase: true,
  });
  const service = definition[`grpc.reflection.${version}.ServerReflection`] as ServiceDefinition;
  const method = service['ServerReflectionInfo']!;
  const client = plainClient(address);
  const answers: Message[] = [];
  try {
    await new Promise<void>((resolve, reject) => {
      const stream = client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize);
      stream.on('data', (value: Message) => answers.push(value));
      stream.on('error', reject);
      stream.on('end', resolve);
      for (const request of requests) stream.write(request);
      stream.end();
    });
    return answers;
  } finally {
    client.close();
  }
}

/** Names of the services that the reflection stream lists. */
export async function listServices(address: string): Promise<string[]> {
  const [answer] = await reflect(address, 'v1', [{ list_services: '' }]);
  const list = answer!['list_services_response'] as { service: { name: string }[] };
  return list.service.map(({ name }) => name);
}

/** Sends any bytes to a method, also if they are not a message. @returns the details of the error */
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
 * Starts a unary call and never sends its message.
 * @returns the headers of the answer, including the status
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
