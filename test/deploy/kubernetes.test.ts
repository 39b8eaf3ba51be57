import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { configKeys } from '../../src/serve/config/keys.js';
import { unknownVariables } from '../../src/serve/config/unknownKeys.js';

interface Container {
  readonly env: readonly { readonly name: string }[];
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

test('the systemd unit sets only existing keys', async () => {
  const unit = await readFile('deploy/vicregl.service', 'utf8');
  const variables = [...unit.matchAll(/\b(VICREGL_[A-Z_]+)=/g)].map(([, name]) => [name!, 'x']);
  assert.ok(variables.length >= 3);
  assert.deepEqual(unknownVariables(Object.fromEntries(variables)), []);
});
