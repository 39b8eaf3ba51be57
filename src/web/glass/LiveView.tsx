import { useMemo, useState } from 'preact/hooks';
import { send } from '../shared/api.js';
import { Chart } from '../shared/Chart.js';
import { usePolling } from '../shared/usePolling.js';
import { Problem } from './Problem.js';
import { beganAnew, bucketsOf, parseMetrics, quantile, type Sample, sumBy, total } from './prometheus.js';

/** A reading of /metrics. */
interface Reading {
  /** Seconds since the first one. */
  readonly at: number;
  readonly samples: readonly Sample[];
}

const EVERY_MS = 1000;
/** Two minutes. */
const KEPT = 121;
/** The table looks this many seconds back. */
const WINDOW = 60;
const IMAGES = 'vicregl_batch_images_sum';
const PHASE = 'vicregl_phase_duration_seconds';
const PHASES = ['receive', 'wait', 'decode', 'queue', 'inference', 'match', 'encode'] as const;

const ms = (seconds: number | undefined): string => (seconds === undefined ? '–' : (seconds * 1000).toFixed(1));

/** Reads /metrics every second while it is shown and the page is visible. After a restart of the service, the readings begin anew. */
function useReadings() {
  const [readings, setReadings] = useState<readonly Reading[]>([]);
  const error = usePolling(() => {
    const start = performance.now();
    return async (signal) => {
      const samples = parseMetrics(await (await send('metrics', { signal })).text());
      const at = (performance.now() - start) / 1000;
      setReadings((before) => {
        const last = before.at(-1);
        const anew = last && beganAnew(last.samples, samples, [IMAGES, `${PHASE}_count`]);
        return [...(anew ? [] : before.slice(1 - KEPT)), { at, samples }];
      });
    };
  }, EVERY_MS);
  return { readings, error };
}

/** Change per second from each reading to the next; null at the first. */
function rates(readings: readonly Reading[], counterOf: (reading: Reading) => number): (number | null)[] {
  return readings.map((reading, i) => {
    const before = readings[i - 1];
    if (!before) return null;
    return (counterOf(reading) - counterOf(before)) / Math.max(0.001, reading.at - before.at);
  });
}

/** What the service does now. */
export function LiveView() {
  const { readings, error } = useReadings();
  const x = useMemo(() => readings.map(({ at }) => at), [readings]);
  const speed = useMemo(
    () => [
      {
        label: 'images/s',
        place: 0,
        values: rates(readings, ({ samples }) => total(samples, IMAGES)),
      },
    ],
    [readings],
  );
  const queue = useMemo(
    () => [
      {
        label: 'waiting images',
        place: 1,
        values: readings.map(({ samples }) => total(samples, 'vicregl_queue_images')),
      },
      {
        label: 'busy workers',
        place: 2,
        values: readings.map(({ samples }) => sumBy(samples, 'vicregl_workers', 'state').get('busy') ?? 0),
      },
    ],
    [readings],
  );
  const last = readings.at(-1);
  const since = last && readings.find(({ at }) => at >= last.at - WINDOW);
  if (!last || !since) {
    return (
      <>
        <Problem error={error} what="The metrics cannot be read." polled />
        {!error && <p class="empty">Reading /metrics…</p>}
      </>
    );
  }
  const seconds = Math.max(0.001, last.at - since.at);
  const images = total(last.samples, IMAGES) - total(since.samples, IMAGES);
  const workers = sumBy(last.samples, 'vicregl_workers', 'state');
  const calls = total(last.samples, 'vicregl_requests_in_flight');
  const [sumsNow, sumsThen] = [last, since].map(({ samples }) => sumBy(samples, `${PHASE}_sum`, 'phase'));
  const [countsNow, countsThen] = [last, since].map(({ samples }) => sumBy(samples, `${PHASE}_count`, 'phase'));
  const figures = [
    ['Images per second', last === since ? '–' : (images / seconds).toFixed(1)],
    ['Waiting images', total(last.samples, 'vicregl_queue_images')],
    ['Calls in flight', calls],
    [
      'Workers',
      [...workers]
        .filter(([, count]) => count > 0)
        .map(([state, count]) => `${count} ${state}`)
        .join(', ') || '–',
    ],
  ] as const;
  return (
    <>
      <p class="about">From the service's own metrics, over all callers. Figures are of the last minute.</p>
      <Problem error={error} what="The metrics cannot be read any more." polled />
      <dl class="figures">
        {figures.map(([label, value]) => (
          <div key={label}>
            <dt>{label}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <div class="charts">
        <Chart title="Images per second" x={x} series={speed} zero xLabel="seconds" sync="live" />
        <Chart title="Queue and workers" x={x} series={queue} zero xLabel="seconds" sync="live" />
      </div>
      <div class="table">
        <table>
          <caption>Latency by phase, in milliseconds</caption>
          <thead>
            <tr>
              <th scope="col">Phase</th>
              <th scope="col" class="number">
                Count
              </th>
              <th scope="col" class="number">
                Mean
              </th>
              <th scope="col" class="number">
                Median
              </th>
              <th scope="col" class="number">
                95 %
              </th>
            </tr>
          </thead>
          <tbody>
            {PHASES.map((phase) => {
              const count = (countsNow!.get(phase) ?? 0) - (countsThen!.get(phase) ?? 0);
              const sum = (sumsNow!.get(phase) ?? 0) - (sumsThen!.get(phase) ?? 0);
              const [now, then] = [last, since].map(({ samples }) => bucketsOf(samples, PHASE, 'phase', phase));
              return (
                <tr key={phase}>
                  <th scope="row">{phase}</th>
                  <td class="number">{count}</td>
                  <td class="number">{ms(count > 0 ? sum / count : undefined)}</td>
                  <td class="number">{ms(quantile(0.5, now!, then!))}</td>
                  <td class="number">{ms(quantile(0.95, now!, then!))}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </>
  );
}
