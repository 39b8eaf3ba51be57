import { ScaledObject } from '@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject';
import { PrometheusRule } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule';
import { ServiceMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor';
import { Deployment } from 'kubernetes-models/apps/v1/Deployment';
import { HorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler';
import { Job } from 'kubernetes-models/batch/v1/Job';
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy';
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget';
import { Service } from 'kubernetes-models/v1/Service';

/** A manifest as it is read from YAML. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
  readonly spec: Readonly<Record<string, unknown>>;
}

const models = [
  ...[Deployment, HorizontalPodAutoscaler, Job, NetworkPolicy, PodDisruptionBudget, Service],
  ...[PrometheusRule, ServiceMonitor, ScaledObject],
] as readonly { readonly apiVersion: string; readonly kind: string; readonly prototype: { validate(): void } }[];

/** A view of `value` that removes the path of each key that is read from `unread`. Reading the list of keys reads all of them. */
function watched<T>(value: T, path: string, unread: Set<string>): T {
  if (typeof value !== 'object' || value === null) return value;
  for (const key of Object.keys(value)) unread.add(`${path}/${key}`);
  return new Proxy(value, {
    get(target, key) {
      unread.delete(`${path}/${String(key)}`);
      return watched(Reflect.get(target, key) as unknown, `${path}/${String(key)}`, unread);
    },
    ownKeys(target) {
      for (const key of Object.keys(target)) unread.delete(`${path}/${key}`);
      return Reflect.ownKeys(target);
    },
  });
}

/**
 * What is wrong with a manifest by the schema of its kind: the message of the validator, and keys that the schema does not have (which
 * Kubernetes drops, or refuses with `--validate=strict`). The validators are generated: they read the keys that they know, and no others.
 * @throws if the kind has no schema here
 */
export function faultsOf(manifest: Manifest): string[] {
  const { apiVersion, kind } = manifest;
  const model = models.find((each) => each.kind === kind && each.apiVersion === apiVersion);
  if (model === undefined) throw new Error(`${apiVersion} ${kind} has no schema in ${import.meta.filename}`);
  const unread = new Set<string>();
  const faults: string[] = [];
  try {
    model.prototype.validate.call(watched(manifest, '', unread));
  } catch (error) {
    faults.push((error as Error).message);
  }
  // Below a key that is unknown, nothing is read either: only the key itself is named.
  return [...faults, ...[...unread].map((path) => `${path} is not in the schema`)];
}
