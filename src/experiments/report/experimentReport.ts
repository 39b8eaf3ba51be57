import type { Block, Report } from '../../report/report.js';
import { variantsSection } from '../../report/variants.js';
import { axisPlots } from './axisPlots.js';
import type { ExperimentReport } from './gather.js';
import { trainingPlot } from './trainingPlot.js';

/** What was compared, and what is missing. */
function overview({ definition, missing, collapsed, seconds }: ExperimentReport): Block[] {
  const { recipe, variants, seeds } = definition;
  return [
    {
      type: 'paragraph',
      text:
        `${variants.length} variants, seeds ${seeds.join(', ')}, based on ${recipe}; ${(seconds / 3600).toFixed(1)} hours of training and ` +
        'evaluation. In brackets: 95 % intervals of the mean over new seeds and new items; for single seeds, over items. Differences ' +
        'are paired by seed and, where figures are means over items, by item (docs/experiments.md, Intervals).',
    },
    {
      type: 'table',
      columns: [{ label: 'variant' }, { label: 'settings' }, { label: 'compared with' }],
      rows: variants.map(({ name, changes, baseline }) => [
        name,
        changes.length === 0 ? '' : [{ code: changes.join(' ') }],
        baseline === undefined || baseline === name ? '' : baseline,
      ]),
    },
    ...(missing.length > 0
      ? [
          {
            type: 'table' as const,
            caption: 'Missing',
            columns: [{ label: 'cell' }, { label: 'why' }],
            rows: missing.map(({ cell, reason }) => [cell, reason]),
          },
        ]
      : []),
    ...(collapsed.length > 0
      ? [{ type: 'notes' as const, notes: [`Collapsed at the end of training: ${collapsed.join(', ')}.`] }]
      : []),
  ];
}

/** The report of an experiment: what was compared, what is missing, and a section for each evaluation. */
export function experimentReport(report: ExperimentReport): Report {
  const { definition, curves, tables } = report;
  const training = trainingPlot(curves);
  return {
    title: definition.name,
    sections: [
      { title: 'Experiment', blocks: overview(report) },
      ...tables.map((table) => variantsSection({ ...table, id: table.name, plots: axisPlots(table, definition) })),
      ...(training ? [{ title: 'Training', blocks: [training] }] : []),
    ],
  };
}
