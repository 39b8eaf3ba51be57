import type { Builder } from '@grafana/grafana-foundation-sdk/cog';
import * as common from '@grafana/grafana-foundation-sdk/common';
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard';
import * as prometheus from '@grafana/grafana-foundation-sdk/prometheus';
import * as stat from '@grafana/grafana-foundation-sdk/stat';
import * as timeseries from '@grafana/grafana-foundation-sdk/timeseries';
import { EXCUSED, FAULTS } from './faults.js';
import { LONG_CALLS } from './longCalls.js';

/** The Grafana dashboard of the service. `scripts/deploy/writeDeploy.ts` writes it to deploy/grafana-dashboard.json. */

const source = { type: 'prometheus', uid: '$datasource' };
const WIDTH = 8;
const HEIGHT = 8;
const STAT_HEIGHT = 4;
const STAT_WIDTH = 4;

/** The series of the chosen instances. @param labels further conditions, such as `code="OK"` */
const of = (metric: string, labels = ''): string =>
  `${metric}{job=~"$job", instance=~"$instance"${labels === '' ? '' : `, ${labels}`}}`;
const rate = (metric: string, labels?: string): string => `rate(${of(metric, labels)}[$__rate_interval])`;
const sum = (by: string, expression: string): string =>
  by === '' ? `sum(${expression})` : `sum by (${by}) (${expression})`;
const quantile = (q: number, by: string, histogram: string, labels?: string): string =>
  `histogram_quantile(${q}, ${sum(by === '' ? 'le' : `le, ${by}`, rate(`${histogram}_bucket`, labels))})`;

/** Zero where nothing has failed yet: a counter without events has no series. */
const share = (part: string, whole: string): string => `(${part} or ${whole} * 0) / (${whole} > 0)`;

interface Target {
  readonly expr: string;
  readonly legend: string;
}

const query = ({ expr, legend }: Target): prometheus.DataqueryBuilder =>
  new prometheus.DataqueryBuilder().datasource(source).expr(expr).legendFormat(legend);

interface Look {
  readonly unit: string;
  readonly description: string;
  readonly stacked?: boolean;
  readonly max?: number;
}

function graph(
  title: string,
  { unit, description, stacked, max }: Look,
  ...targets: Target[]
): Builder<dashboard.Panel> {
  const panel = new timeseries.PanelBuilder()
    .title(title)
    .description(description)
    .datasource(source)
    .unit(unit)
    .min(0)
    .span(WIDTH)
    .height(HEIGHT)
    .lineWidth(1)
    .fillOpacity(stacked ? 30 : 0)
    .showPoints(common.VisibilityMode.Never)
    .legend(
      new common.VizLegendOptionsBuilder()
        .showLegend(true)
        .displayMode(common.LegendDisplayMode.List)
        .placement(common.LegendPlacement.Bottom)
        .calcs([]),
    )
    .tooltip(
      new common.VizTooltipOptionsBuilder().mode(common.TooltipDisplayMode.Multi).sort(common.SortOrder.Descending),
    )
    .targets(targets.map(query));
  if (stacked) panel.stacking(new common.StackingConfigBuilder().mode(common.StackingMode.Normal).group('A'));
  if (max !== undefined) panel.max(max);
  return panel;
}

function figure(title: string, { unit, description }: Look, expr: string): Builder<dashboard.Panel> {
  return new stat.PanelBuilder()
    .title(title)
    .description(description)
    .datasource(source)
    .unit(unit)
    .span(STAT_WIDTH)
    .height(STAT_HEIGHT)
    .graphMode(common.BigValueGraphMode.Area)
    .withTarget(query({ expr, legend: '' }));
}

const busy = share(
  sum('instance', rate('vicregl_worker_busy_seconds_total')),
  sum('instance', of('vicregl_workers', 'state=~"idle|busy"')),
);

const faults = sum('', rate('vicregl_requests_total', `code=~"${FAULTS}"`));
const excused = sum('', rate('vicregl_requests_rejected_total', `reason=~"${EXCUSED}"`));

const rows: readonly { readonly title: string; readonly panels: readonly Builder<dashboard.Panel>[] }[] = [
  {
    title: 'Overview',
    panels: [
      figure('Ready', { unit: 'none', description: 'Instances that accept calls.' }, sum('', of('vicregl_ready'))),
      figure(
        'Calls',
        { unit: 'reqps', description: 'Finished calls per second.' },
        sum('', rate('vicregl_requests_total')),
      ),
      figure(
        'Errors',
        {
          unit: 'percentunit',
          description:
            'Share of the calls that failed with INTERNAL, UNKNOWN, UNAVAILABLE or DATA_LOSS, without those whose caller broke HTTP/2 ' +
            'or outlasted the age of its connection.',
        },
        share(`(${faults} - (${excused} or ${faults} * 0))`, sum('', rate('vicregl_requests_total'))),
      ),
      figure(
        'Latency p99',
        { unit: 's', description: 'From the request message to the reply, all methods but batches and streams.' },
        quantile(0.99, '', 'vicregl_request_duration_seconds', `method!~"${LONG_CALLS}"`),
      ),
      figure(
        'Queue',
        { unit: 'none', description: 'Images that wait for a worker.' },
        sum('', of('vicregl_queue_images')),
      ),
      figure(
        'Saturation',
        { unit: 'percentunit', description: 'Share of the time in which workers are busy, of the busiest instance.' },
        `max(${busy})`,
      ),
    ],
  },
  {
    title: 'Traffic',
    panels: [
      graph(
        'Calls by method',
        { unit: 'reqps', description: 'Finished calls per second.', stacked: true },
        { expr: sum('method', rate('vicregl_requests_total')), legend: '{{method}}' },
      ),
      graph(
        'Calls in progress',
        { unit: 'none', description: 'Calls that are being answered.', stacked: true },
        { expr: sum('method', of('vicregl_requests_in_flight')), legend: '{{method}}' },
      ),
      graph(
        'Images',
        { unit: 'ops', description: 'Images per second that the networks computed.' },
        { expr: sum('instance', rate('vicregl_batch_images_sum')), legend: '{{instance}}' },
      ),
      graph(
        'Bytes',
        { unit: 'Bps', description: 'Bytes of request and response messages.' },
        { expr: sum('', rate('vicregl_received_bytes_total')), legend: 'received' },
        { expr: sum('', rate('vicregl_sent_bytes_total')), legend: 'sent' },
      ),
      graph(
        'Items of batches and streams',
        { unit: 'ops', description: 'Answered items per second, by method and status.', stacked: true },
        { expr: sum('method, code', rate('vicregl_items_total')), legend: '{{method}} {{code}}' },
      ),
      graph(
        'HTTP requests',
        { unit: 'reqps', description: 'Requests of the HTTP listener, by route and status.', stacked: true },
        { expr: sum('route, status', rate('vicregl_http_requests_total')), legend: '{{route}} {{status}}' },
      ),
    ],
  },
  {
    title: 'Latency',
    panels: [
      ...[0.5, 0.9, 0.99].map((q) =>
        graph(
          `Calls, p${q * 100}`,
          { unit: 's', description: 'From the request message to the reply, by method.' },
          { expr: quantile(q, 'method', 'vicregl_request_duration_seconds'), legend: '{{method}}' },
        ),
      ),
      ...[0.5, 0.9, 0.99].map((q) =>
        graph(
          `Phases, p${q * 100}`,
          {
            unit: 's',
            description: 'Phases of calls: decoding, waiting for a worker, inference, matching, encoding, ...',
          },
          { expr: quantile(q, 'phase', 'vicregl_phase_duration_seconds'), legend: '{{phase}}' },
        ),
      ),
    ],
  },
  {
    title: 'Queue and batches',
    panels: [
      graph(
        'Queue',
        {
          unit: 'none',
          description: 'Images that wait for a worker, and stream items that wait for a place in the queue.',
        },
        { expr: sum('instance, name', of('vicregl_queue_images')), legend: '{{instance}} {{name}} images' },
        {
          expr: sum('instance, name', of('vicregl_queue_awaited_places')),
          legend: '{{instance}} {{name}} items outside',
        },
      ),
      graph(
        'Images in a batch',
        { unit: 'none', description: 'Mean and p90 of the images in each run of a network.' },
        {
          expr: `${sum('', rate('vicregl_batch_images_sum'))} / (${sum('', rate('vicregl_batch_images_count'))} > 0)`,
          legend: 'mean',
        },
        { expr: quantile(0.9, '', 'vicregl_batch_images'), legend: 'p90' },
      ),
      graph(
        'Saturation',
        { unit: 'percentunit', description: 'Share of the time in which the running workers are busy.', max: 1 },
        { expr: busy, legend: '{{instance}}' },
      ),
    ],
  },
  {
    title: 'Errors',
    panels: [
      graph(
        'Calls by status',
        { unit: 'reqps', description: 'Finished calls per second, by gRPC status.', stacked: true },
        { expr: sum('code', rate('vicregl_requests_total')), legend: '{{code}}' },
      ),
      graph(
        'Rejections by reason',
        {
          unit: 'reqps',
          description: 'Failed calls and items per second, by reason (google.rpc.ErrorInfo).',
          stacked: true,
        },
        { expr: sum('reason', rate('vicregl_requests_rejected_total')), legend: '{{reason}}' },
        { expr: sum('reason', rate('vicregl_items_rejected_total')), legend: '{{reason}} (items)' },
      ),
      graph(
        'Missed deadlines',
        {
          unit: 'reqps',
          description: 'Calls and items whose deadline passed before a model ran for them.',
          stacked: true,
        },
        { expr: sum('method', rate('vicregl_deadline_drops_total')), legend: '{{method}}' },
        { expr: sum('method', rate('vicregl_item_deadline_drops_total')), legend: '{{method}} (items)' },
      ),
    ],
  },
  {
    title: 'Workers',
    panels: [
      graph(
        'Workers',
        { unit: 'none', description: 'Worker processes by state.', stacked: true },
        { expr: sum('state', of('vicregl_workers')), legend: '{{state}}' },
      ),
      graph(
        'Decode processes',
        { unit: 'none', description: 'Processes that decode images, by state.', stacked: true },
        { expr: sum('state', of('vicregl_decode_processes')), legend: '{{state}}' },
      ),
      graph(
        'Replaced processes',
        {
          unit: 'none',
          description: 'Workers and decode processes that were replaced in an hour, and failed starts, by reason.',
        },
        { expr: sum('reason', `increase(${of('vicregl_worker_restarts_total')}[1h])`), legend: 'worker {{reason}}' },
        {
          expr: sum('reason', `increase(${of('vicregl_worker_start_failures_total')}[1h])`),
          legend: 'start failed: {{reason}}',
        },
        {
          expr: sum('reason', `increase(${of('vicregl_decode_process_restarts_total')}[1h])`),
          legend: 'decode process {{reason}}',
        },
      ),
    ],
  },
  {
    title: 'Processes',
    panels: [
      graph(
        'Resident memory',
        { unit: 'bytes', description: 'Of the main process, the workers and the decode processes.', stacked: true },
        { expr: sum('instance', of('process_resident_memory_bytes')), legend: '{{instance}} main' },
        { expr: sum('instance', of('vicregl_worker_resident_memory_bytes')), legend: '{{instance}} workers' },
        { expr: sum('instance', of('vicregl_decode_process_resident_memory_bytes')), legend: '{{instance}} decoding' },
      ),
      graph(
        'Held bytes',
        {
          unit: 'bytes',
          description: 'Requests, responses, maps and stored features in memory; each has a limit.',
          stacked: true,
        },
        ...['held_request_bytes', 'held_response_bytes', 'held_map_bytes', 'stored_features_bytes'].map((name) => ({
          expr: sum('', of(`vicregl_${name}`)),
          legend: name.replace(/^held_|_bytes$/g, '').replaceAll('_', ' '),
        })),
      ),
      graph(
        'Event-loop lag',
        { unit: 's', description: 'Delay of timers of the main process; health checks and deadlines are as late.' },
        ...['p50', 'p99', 'max'].map((which) => ({
          expr: `max by (instance) (${of(`vicregl_event_loop_lag_${which}_seconds`)})`,
          legend: `{{instance}} ${which}`,
        })),
      ),
      graph(
        'Processor time of the main process',
        {
          unit: 'none',
          description: 'Cores that the main process uses. Workers and decode processes are not included.',
        },
        { expr: sum('instance', rate('process_cpu_seconds_total')), legend: '{{instance}}' },
      ),
    ],
  },
];

/** The dashboard as Grafana imports it. */
export function serviceDashboard(): dashboard.Dashboard {
  const builder = new dashboard.DashboardBuilder('vicregl')
    .uid('vicregl')
    .description(
      'A vicregl service: traffic, latency, queue, errors, workers and memory. Made by scripts/deploy/writeDeploy.ts.',
    )
    .tags(['vicregl'])
    .timezone('browser')
    .refresh('30s')
    .time({ from: 'now-1h', to: 'now' })
    .tooltip(dashboard.DashboardCursorSync.Crosshair)
    .withVariable(new dashboard.DatasourceVariableBuilder('datasource').label('Data source').type('prometheus'));
  for (const [name, query] of [
    ['job', 'label_values(vicregl_ready, job)'],
    ['instance', 'label_values(vicregl_ready{job=~"$job"}, instance)'],
  ] as const) {
    builder.withVariable(
      new dashboard.QueryVariableBuilder(name)
        .datasource(source)
        .query(query)
        .refresh(dashboard.VariableRefresh.OnTimeRangeChanged)
        .multi(true)
        .includeAll(true)
        .allValue('.*')
        .current({ selected: true, text: 'All', value: '$__all' }),
    );
  }
  for (const { title, panels } of rows) {
    builder.withRow(new dashboard.RowBuilder(title));
    for (const panel of panels) builder.withPanel(panel);
  }
  return builder.build();
}

/** The text of deploy/grafana-dashboard.json. */
export const dashboardText = (): string => `${JSON.stringify(serviceDashboard(), null, 2)}\n`;
