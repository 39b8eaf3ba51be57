import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { parse, parseAllDocuments } from 'yaml';
import { generatedFiles } from '../../scripts/deploy/generatedFiles.js';
import { configKeys } from '../../src/serve/config/keys.js';
import { unknownVariables } from '../../src/serve/config/unknownKeys.js';
import { faultsOf, type Manifest } from '../support/kubernetesSchemas.js';

/** The manifests for Kubernetes in deploy/. */

interface Container {
  readonly args: readonly string[];
  readonly image: string;
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly resources: { readonly limits: Readonly<Record<string, string>> };
  readonly livenessProbe: { readonly httpGet: { readonly path: string; readonly port: string | number } };
  readonly readinessProbe: { readonly httpGet: { readonly path: string; readonly port: string | number } };
  readonly volumeMounts: readonly { readonly name: string }[];
}

interface Deployment extends Manifest {
  readonly spec: {
    readonly replicas?: number;
    readonly strategy: { readonly rollingUpdate: { readonly maxSurge: number } };
    readonly selector: { readonly matchLabels: Readonly<Record<string, string>> };
    readonly template: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> };
      readonly spec: {
        readonly enableServiceLinks: boolean;
        readonly terminationGracePeriodSeconds: number;
        readonly topologySpreadConstraints: readonly { readonly labelSelector: unknown }[];
        readonly containers: readonly [Container];
        readonly volumes: readonly { readonly name: string }[];
      };
    };
  };
}

function documentsOf(text: string): Manifest[] {
  const documents = parseAllDocuments(text);
  for (const document of documents) assert.deepEqual(document.errors, []);
  return documents.map((document) => document.toJS() as Manifest);
}

/** Fails if a variable of the container is not a configuration key. */
function checkVariables({ env }: Container): void {
  assert.deepEqual(unknownVariables(Object.fromEntries(env.map(({ name }) => [name, 'x']))), []);
}

const kubectl = spawnSync('kubectl', ['version', '--client'], { encoding: 'utf8' }).status === 0;
const skip = kubectl ? false : 'kubectl is not installed (1.27 or later renders the overlays)';
const OVERLAYS = 'deploy/kubernetes/overlays';

describe('the overlays for Kubernetes', { skip }, () => {
  for (const overlay of readdirSync(OVERLAYS)) {
    const manifests = kubectl
      ? documentsOf(execFileSync('kubectl', ['kustomize', `${OVERLAYS}/${overlay}`], { encoding: 'utf8' }))
      : [];
    const find = <T extends Manifest>(kind: string) => manifests.find((manifest) => manifest.kind === kind) as T;
    const deployment = find<Deployment>('Deployment');
    const specOf = <T>(kind: string) => find<Manifest>(kind).spec as T;

    test(`${overlay}: every manifest agrees with the schema of its kind, and sets no unknown key`, () => {
      const kinds = manifests.map(({ kind }) => kind);
      const always = [
        'Deployment',
        'Service',
        'PodDisruptionBudget',
        'NetworkPolicy',
        'ServiceMonitor',
        'PrometheusRule',
      ];
      for (const kind of always) assert.ok(kinds.includes(kind), kind);
      for (const manifest of manifests) assert.deepEqual(faultsOf(manifest), [], `${manifest.kind}`);
    });

    test(`${overlay}: the container sets existing keys, and its ports and probes are those of the configuration`, () => {
      const { containers, volumes, enableServiceLinks, terminationGracePeriodSeconds } = deployment.spec.template.spec;
      const [container] = containers;
      checkVariables(container);
      assert.equal(enableServiceLinks, false);
      const keys = configKeys();
      const defaultOf = (key: string) => keys.find(({ name }) => name === key)!.schema.default as never;
      const value = (name: string) => container.env.find((each) => each.name === name)?.value;
      const stop = Number(value('VICREGL_DRAIN_DELAY_MS')) + (defaultOf('drainMs') as number);
      assert.ok(terminationGracePeriodSeconds * 1000 > stop, String(stop));
      for (const name of ['VICREGL_THREADS', 'VICREGL_DECODE_CONCURRENCY'])
        assert.ok(Number(value(name)) <= Number(container.resources.limits['cpu']), name);
      for (const key of ['address', 'metricsAddress']) {
        assert.ok(
          container.ports.some(({ containerPort }) => (defaultOf(key) as string).endsWith(`:${containerPort}`)),
        );
      }
      assert.deepEqual(
        [container.livenessProbe.httpGet, container.readinessProbe.httpGet],
        [
          { path: '/healthz', port: 'metrics' },
          { path: '/readyz', port: 'metrics' },
        ],
      );
      const mounted = container.volumeMounts.map(({ name }) => name);
      assert.deepEqual(mounted.sort(), volumes.map(({ name }) => name).sort());
      assert.match(container.image, /:\d+\.\d+\.\d+/);
    });

    test(`${overlay}: all selectors choose the pods of the deployment, and ports have the names of the container`, () => {
      const { labels } = deployment.spec.template.metadata;
      assert.deepEqual(deployment.spec.selector.matchLabels, labels);
      const service = specOf<{ clusterIP: string; selector: unknown; ports: { name: string; targetPort: string }[] }>(
        'Service',
      );
      assert.equal(service.clusterIP, 'None');
      assert.deepEqual(service.selector, labels);
      const names = deployment.spec.template.spec.containers[0].ports.map(({ name }) => name);
      for (const { targetPort } of service.ports) assert.ok(names.includes(targetPort), targetPort);
      assert.deepEqual(specOf<{ selector: unknown }>('PodDisruptionBudget').selector, { matchLabels: labels });
      for (const spread of deployment.spec.template.spec.topologySpreadConstraints)
        assert.deepEqual(spread.labelSelector, { matchLabels: labels });
      const policy = specOf<{ podSelector: unknown; ingress: { ports: { port: string }[] }[]; egress: unknown[] }>(
        'NetworkPolicy',
      );
      assert.deepEqual(policy.podSelector, { matchLabels: labels });
      assert.deepEqual(policy.ingress.flatMap(({ ports }) => ports.map(({ port }) => port)).sort(), [...names].sort());
      assert.deepEqual(policy.egress, []);
      const monitor = specOf<{ selector: { matchLabels: unknown }; endpoints: { port: string }[] }>('ServiceMonitor');
      assert.deepEqual(monitor.selector.matchLabels, find('Service').metadata.labels);
      for (const { port } of monitor.endpoints) assert.ok(service.ports.some(({ name }) => name === port));
    });

    test(`${overlay}: exactly one autoscaler sets the replicas of the deployment`, () => {
      const scalers = manifests.filter(({ kind }) => ['HorizontalPodAutoscaler', 'ScaledObject'].includes(kind));
      assert.equal(scalers.length, 1);
      const { scaleTargetRef } = scalers[0]!.spec as { scaleTargetRef: { name: string } };
      assert.equal(scaleTargetRef.name, deployment.metadata.name);
      assert.equal(deployment.spec.replicas, undefined);
    });

    test(`${overlay}: it has a GPU if, and only if, the service runs on one, and updates need no further one`, () => {
      const [{ env, resources }] = deployment.spec.template.spec.containers;
      const gpus = Object.keys(resources.limits).filter((name) => name.startsWith('nvidia.com/'));
      const expected = { cpu: [], cuda: ['nvidia.com/gpu'], 'cuda-mig': ['nvidia.com/mig-1g.18gb'] }[overlay];
      assert.deepEqual(gpus, expected);
      assert.equal(env.find(({ name }) => name === 'VICREGL_DEVICE')?.value, gpus.length > 0 ? 'cuda' : undefined);
      assert.equal(deployment.spec.strategy.rollingUpdate.maxSurge, gpus.length > 0 ? 0 : 1);
    });
  }
});

test('the schemas find unknown keys, wrong types and keys that are missing', () => {
  const manifest = (spec: Record<string, unknown>, more = {}) => ({
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name: 'x' },
    spec,
    ...more,
  });
  const selector = { matchLabels: { a: 'b' } };
  assert.deepEqual(faultsOf(manifest({ selector, maxUnavailable: 1 })), []);
  assert.deepEqual(faultsOf(manifest({ selector, maxUnavailabel: 1 })), ['/spec/maxUnavailabel is not in the schema']);
  assert.deepEqual(faultsOf(manifest({ selector }, { specs: 1 })), ['/specs is not in the schema']);
  assert.match(faultsOf(manifest({ selector: { matchLabels: { a: 1 } } }))[0]!, /matchLabels\/a must be string/);
  const service = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'x' }, spec: { selector } };
  assert.match(faultsOf(service)[0]!, /template/);
  assert.throws(() => faultsOf({ ...service, kind: 'Pod' }), /apps\/v1 Pod has no schema/);
});

test('every metric in the queries of the autoscaler is one that the dashboard shows too', async () => {
  const scaled = parse(await readFile('deploy/kubernetes/components/keda/scaledObject.yaml', 'utf8')) as {
    spec: { triggers: { metadata: { query: string } }[] };
  };
  const dashboard = (await generatedFiles()).get('deploy/grafana-dashboard.json')!;
  const metrics = scaled.spec.triggers.flatMap(({ metadata }) => metadata.query.match(/vicregl_\w+/g) ?? []);
  assert.ok(metrics.length >= 2);
  for (const metric of metrics) assert.ok(dashboard.includes(metric), metric);
});

test('the job that extracts features agrees with the schema of jobs', async () => {
  const [job] = documentsOf(await readFile('deploy/kubernetes-extract.yml', 'utf8'));
  assert.deepEqual(faultsOf(job!), []);
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
  const documents: unknown[] = documentsOf(await readFile('deploy/kserve.yml', 'utf8'));
  const [runtime, service] = documents as [Runtime, InferenceService];
  assert.deepEqual([runtime.kind, service.kind], ['ServingRuntime', 'InferenceService']);
  const [{ env, ports, resources, livenessProbe, readinessProbe, args }] = runtime.spec.containers as [Container];
  checkVariables(runtime.spec.containers[0]!);
  const variable = (name: string) => env.find((each) => each.name === name)!.value!;
  assert.deepEqual(
    ports.map(({ containerPort }) => `0.0.0.0:${containerPort}`),
    [variable('VICREGL_ADDRESS'), variable('VICREGL_METRICS_ADDRESS')],
  );
  // Node does not see the limit: by itself it would start a decode process for every core of the machine.
  for (const name of ['VICREGL_THREADS', 'VICREGL_DECODE_CONCURRENCY'])
    assert.equal(variable(name), resources.limits['cpu'], name);
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
