import { readFile } from 'node:fs/promises';
import { parse, stringify } from 'yaml';
import { sloText } from './slo.js';

/** deploy/alerts.yml and deploy/slo.yml as the Prometheus Operator reads rules. */
export async function prometheusRuleText(): Promise<string> {
  const rules = [await readFile('deploy/alerts.yml', 'utf8'), sloText()];
  const manifest = {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PrometheusRule',
    metadata: { name: 'vicregl' },
    spec: { groups: rules.flatMap((text) => (parse(text) as { groups: unknown[] }).groups) },
  };
  const origin = '# The rules of deploy/alerts.yml and deploy/slo.yml. Made by scripts/deploy/writeDeploy.ts.\n';
  return origin + stringify(manifest, { lineWidth: 0 });
}
