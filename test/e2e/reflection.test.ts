import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Client, credentials, type ServiceDefinition } from '@grpc/grpc-js';
import { loadFileDescriptorSetFromBuffer } from '@grpc/proto-loader';
import { pino } from 'pino';
import protobuf from 'protobufjs';
import descriptor, { type IDescriptorProto, type IFileDescriptorProto } from 'protobufjs/ext/descriptor/index.js';
import { createFakeEngine } from '../../src/engine/fakeEngine.js';
import { loadOptions } from '../../src/proto/loadOptions.js';
import { createServer, type RunningServer } from '../../src/serve/server.js';
import { PYTHON, skipWithoutPython } from '../support/python.js';
import { tinyManifest } from '../support/tinyModel.js';
import { reflect, reflectionVersions } from './grpcProbe.js';

/** Clients that know only the address of the service, and get everything else from reflection. */

const image = { width: 56, height: 56, rgb: Buffer.alloc(56 * 56 * 3, 7) };

/** Full names of all descriptors in a file, including the methods of services. */
function* symbolsOf({ package: scope = '', messageType, enumType, service }: IFileDescriptorProto): Generator<string> {
  function* ofMessage({ name, nestedType, enumType }: IDescriptorProto, within: string): Generator<string> {
    const full = `${within}.${name}`;
    yield full;
    for (const inner of nestedType ?? []) yield* ofMessage(inner, full);
    for (const inner of enumType ?? []) yield `${full}.${inner.name}`;
  }
  for (const message of messageType ?? []) yield* ofMessage(message, scope);
  for (const each of enumType ?? []) yield `${scope}.${each.name}`;
  for (const { name, method } of service ?? []) {
    yield `${scope}.${name}`;
    for (const each of method ?? []) yield `${scope}.${name}.${each.name}`;
  }
}

describe('reflection', () => {
  let server: RunningServer;
  before(async () => {
    server = await createServer({
      models: [{ engine: createFakeEngine({ manifest: { ...tinyManifest, files: {} } }) }],
      address: '127.0.0.1:0',
      metricsAddress: 'off',
      logger: pino({ level: 'silent' }),
    });
  });
  after(() => server.close());

  /** Files of an answer, with the requested one first. */
  const filesOf = (answer: Record<string, unknown>): IFileDescriptorProto[] => {
    const { file_descriptor_proto: files } = answer['file_descriptor_response'] as { file_descriptor_proto: Buffer[] };
    return files.map((bytes) => descriptor.FileDescriptorProto.decode(bytes) as unknown as IFileDescriptorProto);
  };

  /** Follows imports from the files of the services that are listed, as grpcurl does. */
  async function discover(version: (typeof reflectionVersions)[number]) {
    const [list] = await reflect(server.address, version, [{ list_services: '' }]);
    const { service } = list!['list_services_response'] as { service: { name: string }[] };
    const services = service.map(({ name }) => name);
    const asked = services.map((name) => ({ file_containing_symbol: name }));
    const files = new Map<string, IFileDescriptorProto>();
    const wanted = (await reflect(server.address, version, asked)).map((answer) => filesOf(answer)[0]!.name!);
    for (let name = wanted.pop(); name !== undefined; name = wanted.pop()) {
      if (files.has(name)) continue;
      const [answer] = await reflect(server.address, version, [{ file_by_filename: name }]);
      const [file] = filesOf(answer!);
      assert.equal(file!.name, name);
      files.set(name, file!);
      wanted.push(...(file!.dependency ?? []));
    }
    return { services, files };
  }

  for (const version of reflectionVersions) {
    test(`${version}: every service is listed, and every imported file is found by its name`, async () => {
      const { services, files } = await discover(version);
      assert.deepEqual(services.sort(), [
        'grpc.health.v1.Health',
        'grpc.reflection.v1.ServerReflection',
        'grpc.reflection.v1alpha.ServerReflection',
        'inference.GRPCInferenceService',
        'vicregl.v1.VicreglService',
      ]);
      assert.deepEqual([...files.keys()].sort(), [
        'google/protobuf/any.proto',
        'google/rpc/status.proto',
        'grpc/reflection/v1/reflection.proto',
        'grpc/reflection/v1alpha/reflection.proto',
        'health/v1/health.proto',
        'inference/open_inference_grpc.proto',
        'vicregl/v1/vicregl.proto',
      ]);
      const own = files.get('vicregl/v1/vicregl.proto')!;
      assert.deepEqual(
        [own.package, own.syntax, own.dependency],
        ['vicregl.v1', 'proto3', ['google/rpc/status.proto']],
      );
      assert.equal(
        files.get('google/protobuf/any.proto')!.options?.goPackage,
        'google.golang.org/protobuf/types/known/anypb',
      );
      const field = own
        .messageType!.find(({ name }) => name === 'ExtractFeaturesRequest')!
        .field!.find(({ name }) => name === 'max_response_bytes')!;
      const { jsonName, proto3Optional } = field as typeof field & { readonly proto3Optional?: boolean };
      assert.deepEqual([jsonName, proto3Optional], ['maxResponseBytes', true]);
    });

    test(`${version}: every symbol is found, and an answer includes the imports of its file`, async () => {
      const { files } = await discover(version);
      // No file imports the messages that are sent in google.rpc.Status.
      const symbols = [
        ['google.rpc.ErrorInfo', 'google/rpc/error_details.proto'] as const,
        ...[...files].flatMap(([name, file]) => [...symbolsOf(file)].map((symbol) => [symbol, name] as const)),
      ];
      assert.ok(symbols.some(([symbol]) => symbol === 'vicregl.v1.VicreglService.Embed'));
      assert.ok(symbols.length > 100, `${symbols.length} symbols`);
      const asked = symbols.map(([symbol]) => ({ file_containing_symbol: symbol }));
      const answers = await reflect(server.address, version, asked);
      for (const [i, answer] of answers.entries()) {
        const [symbol, name] = symbols[i]!;
        const given = filesOf(answer);
        assert.equal(given[0]!.name, name, symbol);
        const names = new Set(given.map((file) => file.name));
        for (const file of given)
          for (const each of file.dependency ?? []) assert.ok(names.has(each), `${symbol}: ${each}`);
      }
    });

    test(`${version}: an unknown name is NOT_FOUND, and the stream continues`, async () => {
      const answers = await reflect(server.address, version, [
        { file_by_filename: 'vicregl.v1.proto' },
        { file_containing_symbol: 'vicregl.v1.Nothing' },
        { file_by_filename: 'vicregl/v1/vicregl.proto' },
      ]);
      for (const answer of answers.slice(0, 2)) {
        assert.equal((answer['error_response'] as { error_code: number }).error_code, 5);
      }
      assert.equal(filesOf(answers[2]!)[0]!.name, 'vicregl/v1/vicregl.proto');
    });
  }

  test('a call can be made with only the reflected descriptors', async () => {
    const [answer] = await reflect(server.address, 'v1', [{ file_containing_symbol: 'vicregl.v1.VicreglService' }]);
    const { file_descriptor_proto: files } = answer!['file_descriptor_response'] as { file_descriptor_proto: Buffer[] };
    const set = protobuf.Writer.create();
    for (const file of files) set.uint32((1 << 3) | 2).bytes(file);
    const definition = loadFileDescriptorSetFromBuffer(Buffer.from(set.finish()), loadOptions);
    const { Embed } = definition['vicregl.v1.VicreglService'] as ServiceDefinition;
    const { path, requestSerialize, responseDeserialize } = Embed!;
    const client = new Client(server.address, credentials.createInsecure());
    const response = await new Promise<unknown>((resolve, reject) => {
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, { image: { raw: image } }, (error, value) =>
        error ? reject(error) : resolve(value),
      );
    });
    client.close();
    const { embedding } = response as { embedding: { dtype: string; shape: number[]; data: Buffer } };
    assert.deepEqual([embedding.dtype, embedding.shape, embedding.data.length], ['DATA_TYPE_FLOAT32', [16], 64]);
  });

  test('a client in Go (buf curl) makes calls with only the reflected descriptors, and gets the details of a status', async () => {
    const buf = (...args: string[]) => {
      const child = spawn('node_modules/.bin/buf', ['curl', '--http2-prior-knowledge', '--protocol', 'grpc', ...args]);
      return Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
    };
    const url = (method: string) => `http://${server.address}/vicregl.v1.VicreglService/${method}`;
    const embedded = { image: { raw: { width: 1, height: 1, rgb: 'AAAA' } } };
    const [output, problem, [code]] = await buf(url('Embed'), '-d', JSON.stringify(embedded));
    assert.equal(code, 0, problem);
    const { embedding } = JSON.parse(output) as { embedding: { dtype: string; shape: number[] } };
    assert.deepEqual([embedding.dtype, embedding.shape], ['DATA_TYPE_FLOAT32', [16]]);
    const [, failed, [failure]] = await buf(url('Embed'), '-d', '{"image": {"encoded": "R0lGODlh"}}');
    assert.notEqual(failure, 0);
    const { code: status, details } = JSON.parse(failed) as {
      code: string;
      details: { type: string; value: string }[];
    };
    assert.deepEqual([status, details.map(({ type }) => type)], ['invalid_argument', ['google.rpc.ErrorInfo']]);
    assert.match(Buffer.from(details[0]!.value, 'base64').toString(), /IMAGE_CORRUPT/);
    const [methods] = await buf('--list-methods', `http://${server.address}`);
    assert.ok(methods.split('\n').includes('vicregl.v1.VicreglService/Embed'), methods);
  });

  test('a call can be made from Python with only the reflected descriptors', {
    skip: skipWithoutPython('grpc', 'google.protobuf'),
  }, async () => {
    const program = fileURLToPath(new URL('../../../test/support/reflectedCall.py', import.meta.url));
    for (const version of reflectionVersions) {
      const child = spawn(PYTHON, [program, server.address, version], { stdio: ['ignore', 'pipe', 'inherit'] });
      const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
      assert.equal(code, 0, version);
      assert.deepEqual(JSON.parse(output), {
        shape: [16],
        bytes: 64,
        // A failed item has a google.rpc.Status, whose details are also messages of the pool.
        item: { code: 3, reason: 'IMAGE_UNSUPPORTED_FORMAT' },
        health: 'SERVING',
        // The same vector by the Open Inference Protocol.
        infer: { datatype: 'FP32', shape: [1, 16], same: true },
      });
    }
  });
});
