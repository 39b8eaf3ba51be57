import type { LoadReport, Percentiles } from './bench.js';
import type { RawForm, RawMeasurement } from './raw.js';

const ms = (value: number): string => (Number.isFinite(value) ? value.toPrecision(3) : '-');

const rate = (value: number): string => value.toFixed(value < 100 ? 1 : 0);

function loadName({ load }: LoadReport): string {
  return load.kind === 'closed' ? `${load.concurrency} at a time` : `${rate(load.rate)}/s`;
}

function share(value: number, raws: readonly RawMeasurement[]): string[] {
  return raws.map(({ imagesPerSecond }) => (value / imagesPerSecond).toFixed(2));
}

/** Describes the configuration of a raw session. */
function rawName({ sessions, threads, batch, spinning }: RawForm): string {
  const each = `batch ${batch}, ${threads} thread${threads === 1 ? '' : 's'}${spinning ? ', spinning' : ''}`;
  return sessions === 1 ? `one session, ${each}` : `${sessions} sessions, ${each} each`;
}

function failures(codes: LoadReport['codes']): string {
  return Object.entries(codes)
    .filter(([code]) => code !== 'OK')
    .map(([code, count]) => `${count} ${code}`)
    .join(', ');
}

/** Table of loads: a heading, then one row per load. */
export function loadRows(reports: readonly LoadReport[], raws: readonly RawMeasurement[]): string[][] {
  const heading = ['load', 'images/s', 'p50 ms', 'p90 ms', 'p99 ms', 'CPU ms/image: service', 'generator'];
  return [
    [...heading, ...raws.map((raw) => `of ${raw.sessions === 1 ? 'one session' : `${raw.sessions} sessions`}`), ''],
    ...reports.map((report) => [
      loadName(report),
      rate(report.imagesPerSecond),
      ...[report.latencyMs.p50, report.latencyMs.p90, report.latencyMs.p99].map(ms),
      report.cpuMsPerImage.service === undefined ? '-' : ms(report.cpuMsPerImage.service),
      ms(report.cpuMsPerImage.generator),
      ...share(report.imagesPerSecond, raws),
      [report.stable ? '' : `not stable after ${report.windows} windows`, failures(report.codes)]
        .filter((text) => text !== '')
        .join('; '),
    ]),
  ];
}

const triple = ({ p50, p90, p99 }: Percentiles): string => `${ms(p50)} / ${ms(p90)} / ${ms(p99)}`;

/** Table of p50 / p90 / p99 in ms of each phase and of the generator's delay: a heading, then one row per load. */
export function phaseRows(reports: readonly LoadReport[]): string[][] {
  const phases = [...new Set(reports.flatMap(({ phasesMs }) => Object.keys(phasesMs)))];
  const open = reports.some(({ latenessMs }) => latenessMs !== undefined);
  if (phases.length === 0 && !open) return [];
  return [
    ['load', ...phases, ...(open ? ['generator delay'] : [])],
    ...reports.map((report) => [
      loadName(report),
      ...phases.map((phase) => (report.phasesMs[phase] ? triple(report.phasesMs[phase]) : '-')),
      ...(open ? [report.latenessMs ? triple(report.latenessMs) : '-'] : []),
    ]),
  ];
}

/** Table of raw sessions: a heading, then one row per configuration. */
export function rawRows(raws: readonly RawMeasurement[]): string[][] {
  return [
    ['raw session', 'images/s', 'CPU ms/image', 'windows'],
    ...raws.map((raw) => [
      rawName(raw),
      rate(raw.imagesPerSecond),
      ms(raw.cpuSecondsPerImage * 1e3),
      String(raw.windows),
    ]),
  ];
}
