import { dashboardText } from './dashboard.js';
import { prometheusRuleText } from './prometheusRule.js';
import { sloText } from './slo.js';

/** Path of each generated file of deploy/, and its text. */
export async function generatedFiles(): Promise<ReadonlyMap<string, string>> {
  return new Map([
    ['deploy/grafana-dashboard.json', dashboardText()],
    ['deploy/slo.yml', sloText()],
    ['deploy/kubernetes/components/monitoring/prometheusRule.yaml', await prometheusRuleText()],
  ]);
}
