import type { RunState } from '../../runsView/contract.js';
import { colourOf, figure } from '../shared/Chart.js';

interface RunCardProps {
  readonly run: RunState;
  /** Whether its colour identifies it in the charts. */
  readonly coloured: boolean;
}

/** What a run is and how far it has come. */
export function RunCard({ run, coloured }: RunCardProps) {
  const { name, folder, architecture, alpha, batchSize, epoch, epochs, steps, imagesPerSecond, best, skipped } = run;
  const facts = [
    ['Step', steps],
    ['Epoch', `${epoch} of ${epochs}`],
    ['Images per second', figure(imagesPerSecond) || '–'],
    ['Best checkpoint', best ? `step ${best.step} (${best.metric} ${figure(best.value)})` : '–'],
    ['Skipped', skipped],
  ] as const;
  return (
    <article class="run">
      <h2>
        {coloured && <span class="swatch" style={{ borderColor: colourOf(run.id) }} />}
        {name}
        <span class={run.training ? 'badge live' : 'badge'}>{run.training ? 'training' : 'not running'}</span>
      </h2>
      <p class="hint">
        {architecture}, alpha {alpha}, batches of {batchSize}; {folder}
      </p>
      <dl>
        {facts.map(([label, value]) => (
          <div key={label}>
            <dt>{label}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {run.problem !== undefined && (
        <div class="problem" role="alert">
          <strong>The run cannot be read.</strong> {run.problem}
        </div>
      )}
      {run.earlierAlarms > 0 && <p class="hint">{run.earlierAlarms} earlier alarms are in log.jsonl.</p>}
      {run.alarms.map(({ step, message }) => (
        <div class="problem" role="alert" key={`${step} ${message}`}>
          <strong>Step {step}.</strong> {message}
        </div>
      ))}
    </article>
  );
}
