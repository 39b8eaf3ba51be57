import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { configKeys } from '../../src/serve/config/keys.js';
import { unknownVariables } from '../../src/serve/config/unknownKeys.js';

interface Container {
  readonly args: readonly string[];
  readonly env: readonly { readonly name: string; readonly value?: string }[];
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly livenessProbe: { readonly httpGet: { readonly path: string } };
  readonly readinessProbe: { readonly httpGet: { readonly path: string } };
}

interface Deployment {
  readonly kind: string;
  readonly spec: {
    readonly template: {
      readonly spec: {
        readonly enableServiceLinks: boolean;
        readonly terminationGracePeriodSeconds: number;
        readonly containers: readonly Container[];
      };
    };
  };
}

test('the Kubernetes manifest sets only existing keys and has separate liveness and readiness probes', async () => {
  const documents = parseAllDocuments(await readFile('deploy/kubernetes.yml', 'utf8'));
  for (const document of documents) assert.deepEqual(document.errors, []);
  const { kind, spec } = documents[0]!.toJS() as Deployment;
  assert.equal(kind, 'Deployment');
  const pod = spec.template.spec;
  assert.equal(pod.enableServiceLinks, false);
  assert.ok(pod.terminationGracePeriodSeconds > 30);
  const [{ env, ports, livenessProbe, readinessProbe }] = pod.containers as [Container];
  assert.deepEqual(unknownVariables(Object.fromEntries(env.map(({ name }) => [name, 'x']))), []);
  assert.deepEqual([livenessProbe.httpGet.path, readinessProbe.httpGet.path], ['/healthz', '/readyz']);
  const standard = configKeys().find(({ name }) => name === 'metricsAddress')!.schema.default as string;
  assert.ok(ports.some(({ containerPort }) => standard.endsWith(`:${containerPort}`)));
});

interface Runtime {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: { readonly protocolVersions: readonly string[]; readonly containers: readonly Container[] };
}

interface InferenceService {
  readonly kind: string;
  readonly spec: {
    readonly predictor: {
      readonly terminationGracePeriodSeconds: number;
      readonly model: { readonly runtime: string; readonly protocolVersion: string };
    };
  };
}

test('the KServe example sets only existing keys, and its ports and probes are those of the configuration', async () => {
  const documents = parseAllDocuments(await readFile('deploy/kserve.yml', 'utf8'));
  for (const document of documents) assert.deepEqual(document.errors, []);
  const [runtime, service] = documents.map((document) => document.toJS() as unknown) as [Runtime, InferenceService];
  assert.deepEqual([runtime.kind, service.kind], ['ServingRuntime', 'InferenceService']);
  const [{ env, ports, livenessProbe, readinessProbe, args }] = runtime.spec.containers as [Container];
  assert.deepEqual(unknownVariables(Object.fromEntries(env.map(({ name }) => [name, 'x']))), []);
  const addressOf = (name: string) => env.find((each) => each.name === name)!.value!;
  assert.deepEqual(
    ports.map(({ containerPort }) => `0.0.0.0:${containerPort}`),
    [addressOf('VICREGL_ADDRESS'), addressOf('VICREGL_METRICS_ADDRESS')],
  );
  const metricsPort = ports[1]!.containerPort;
  assert.deepEqual(
    [livenessProbe.httpGet, readinessProbe.httpGet],
    [
      { path: '/healthz', port: metricsPort },
      { path: '/readyz', port: metricsPort },
    ],
  );
  assert.deepEqual(args, ['serve', '--model', '/mnt/models']);
  const { predictor } = service.spec;
  assert.ok(predictor.terminationGracePeriodSeconds > 30);
  assert.equal(predictor.model.runtime, runtime.metadata.name);
  assert.ok(runtime.spec.protocolVersions.includes(predictor.model.protocolVersion));
});

test('the systemd unit sets only existing keys', async () => {
  const unit = await readFile('deploy/vicregl.service', 'utf8');
  const variables = [...unit.matchAll(/\b(VICREGL_[A-Z_]+)=/g)].map(([, name]) => [name!, 'x']);
  assert.ok(variables.length >= 3);
  assert.deepEqual(unknownVariables(Object.fromEntries(variables)), []);
});
