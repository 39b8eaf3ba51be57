import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';
import { inferenceServiceName } from './load.js';

/**
 * The fields of the public protocol: number, type and name of each. Of KServe's specification
 * (github.com/kserve/open-inference-protocol, specification/protocol/open_inference_grpc.proto); the messages of the repository of
 * Triton's (github.com/triton-inference-server/common, protobuf/grpc_service.proto). Clients of others are built from those files: a
 * number that differs here breaks them.
 */
const publicFields: Readonly<Record<string, string>> = {
  ServerLiveRequest: '',
  ServerLiveResponse: '1 bool live',
  ServerReadyRequest: '',
  ServerReadyResponse: '1 bool ready',
  ModelReadyRequest: '1 string name, 2 string version',
  ModelReadyResponse: '1 bool ready',
  ServerMetadataRequest: '',
  ServerMetadataResponse: '1 string name, 2 string version, 3 repeated string extensions',
  ModelMetadataRequest: '1 string name, 2 string version',
  ModelMetadataResponse:
    '1 string name, 2 repeated string versions, 3 string platform, 4 repeated TensorMetadata inputs, 5 repeated TensorMetadata outputs, ' +
    '6 map string properties',
  'ModelMetadataResponse.TensorMetadata': '1 string name, 2 string datatype, 3 repeated int64 shape',
  ModelInferRequest:
    '1 string model_name, 2 string model_version, 3 string id, 4 map InferParameter parameters, 5 repeated InferInputTensor inputs, ' +
    '6 repeated InferRequestedOutputTensor outputs, 7 repeated bytes raw_input_contents',
  'ModelInferRequest.InferInputTensor':
    '1 string name, 2 string datatype, 3 repeated int64 shape, 4 map InferParameter parameters, 5 InferTensorContents contents',
  'ModelInferRequest.InferRequestedOutputTensor': '1 string name, 2 map InferParameter parameters',
  ModelInferResponse:
    '1 string model_name, 2 string model_version, 3 string id, 4 map InferParameter parameters, 5 repeated InferOutputTensor outputs, ' +
    '6 repeated bytes raw_output_contents',
  'ModelInferResponse.InferOutputTensor':
    '1 string name, 2 string datatype, 3 repeated int64 shape, 4 map InferParameter parameters, 5 InferTensorContents contents',
  InferParameter:
    '1 bool bool_param, 2 int64 int64_param, 3 string string_param, 4 double double_param, 5 uint64 uint64_param',
  InferTensorContents:
    '1 repeated bool bool_contents, 2 repeated int32 int_contents, 3 repeated int64 int64_contents, 4 repeated uint32 uint_contents, ' +
    '5 repeated uint64 uint64_contents, 6 repeated float fp32_contents, 7 repeated double fp64_contents, 8 repeated bytes bytes_contents',
  ModelRepositoryParameter: '1 bool bool_param, 2 int64 int64_param, 3 string string_param, 4 bytes bytes_param',
  RepositoryIndexRequest: '1 string repository_name, 2 bool ready',
  RepositoryIndexResponse: '1 repeated ModelIndex models',
  'RepositoryIndexResponse.ModelIndex': '1 string name, 2 string version, 3 string state, 4 string reason',
  RepositoryModelLoadRequest:
    '1 string repository_name, 2 string model_name, 3 map ModelRepositoryParameter parameters',
  RepositoryModelLoadResponse: '',
  RepositoryModelUnloadRequest:
    '1 string repository_name, 2 string model_name, 3 map ModelRepositoryParameter parameters',
  RepositoryModelUnloadResponse: '',
};

const methods =
  'ServerLive ServerReady ModelReady ServerMetadata ModelMetadata ModelInfer RepositoryIndex RepositoryModelLoad RepositoryModelUnload';

function describeField(field: protobuf.Field): string {
  const { id, type, name, repeated, map } = field.resolve();
  return [id, ...(map ? ['map'] : repeated ? ['repeated'] : []), type, name].join(' ');
}

/** Every message below a namespace with its fields. */
function* messagesIn(namespace: protobuf.NamespaceBase, within = ''): Generator<readonly [string, string]> {
  for (const each of namespace.nestedArray) {
    if (!(each instanceof protobuf.Type)) continue;
    const fields = [...each.fieldsArray].sort((a, b) => a.id - b.id);
    yield [`${within}${each.name}`, fields.map(describeField).join(', ')];
    yield* messagesIn(each, `${within}${each.name}.`);
  }
}

test('the messages and methods of the Open Inference Protocol are those of the public proto', () => {
  const file = fileURLToPath(new URL('../../../proto/inference/open_inference_grpc.proto', import.meta.url));
  const root = new protobuf.Root().loadSync(file, { keepCase: true });
  const found = [...messagesIn(root.lookup('inference') as protobuf.Namespace)];
  assert.deepEqual(Object.fromEntries(found), publicFields);
  assert.deepEqual(
    root.lookupService(inferenceServiceName).methodsArray.map(({ name, requestStream, responseStream }) => {
      assert.ok(!requestStream && !responseStream, name);
      return name;
    }),
    methods.split(' '),
  );
});
