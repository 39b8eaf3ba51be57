import type { Term } from './loggedTerms.js';

/** The keys of a configuration that decide what its run logs. */
export interface LoggingKeys {
  readonly data: { readonly labels: string };
  readonly loss: {
    readonly alpha: number;
    readonly criterion: string;
    readonly invariance: number;
    readonly variance: number;
    readonly covariance: number;
    readonly local?:
      | {
          readonly invariance?: number | undefined;
          readonly variance?: number | undefined;
          readonly covariance?: number | undefined;
        }
      | undefined;
  };
  readonly probe?: { readonly knn?: unknown; readonly linear?: unknown } | undefined;
}

/** Why a run with this configuration does not log a term; a term that it logs has no reason. */
export function reasonsNotLogged({ data, loss, probe }: LoggingKeys): Readonly<Partial<Record<Term, string>>> {
  const { alpha, criterion, local = {} } = loss;
  const noGlobal = alpha > 0 ? undefined : 'there is no global loss with loss.alpha 0';
  const noLocal = alpha < 1 ? undefined : 'there is no local loss with loss.alpha 1';
  const noTerms = criterion === 'vicreg' ? undefined : `loss.criterion is ${criterion}`;
  const noContrast = criterion === 'simclr' ? undefined : `loss.criterion is ${criterion}`;
  const weightless = (term: 'invariance' | 'variance' | 'covariance', ofLocal: boolean) => {
    const own = ofLocal ? local[term] : undefined;
    return (own ?? loss[term]) > 0 ? undefined : `loss.${own === undefined ? '' : 'local.'}${term} is 0`;
  };
  const noLabels = data.labels === 'none' ? 'data.labels is none' : undefined;
  const noLinear = probe?.linear === undefined ? 'there is no probe.linear' : undefined;
  const noKnn = probe?.knn === undefined ? 'there is no probe.knn' : undefined;
  const reasons: Partial<Record<Term, string | undefined>> = {
    inv_l: noGlobal ?? noTerms ?? weightless('invariance', false),
    var_l: noGlobal ?? noTerms ?? weightless('variance', false),
    cov_l: noGlobal ?? noTerms ?? weightless('covariance', false),
    nce_l: noGlobal ?? noContrast,
    minv_l: noLocal ?? noTerms ?? weightless('invariance', true),
    mvar_l: noLocal ?? noTerms ?? weightless('variance', true),
    mcov_l: noLocal ?? noTerms ?? weightless('covariance', true),
    mnce_l: noLocal ?? noContrast,
    stde: noGlobal,
    core: noGlobal,
    stdm: noLocal,
    corm: noLocal,
    cls_l: noLabels,
    top1: noLabels,
    top5: noLabels,
    probe_l: noLinear,
    probe_top1: noLinear,
    probe_top5: noLinear,
    knn_top1: noKnn,
    knn_top5: noKnn,
  };
  return Object.fromEntries(Object.entries(reasons).filter(([, reason]) => reason !== undefined));
}
