import { useState } from 'preact/hooks';
import type { RunsAnswer } from '../../runsView/contract.js';
import { Tabs } from '../shared/Tabs.js';
import { CropsPanel } from './CropsPanel.js';
import { Curves } from './Curves.js';
import { RunCard } from './RunCard.js';
import { useRuns } from './useRuns.js';

const VIEWS = {
  curves: 'Curves',
  monitors: 'Collapse monitors',
  crops: 'Crops',
  configuration: 'Configuration',
} as const;
type View = keyof typeof VIEWS;

function Differences({ runs, differences }: RunsAnswer) {
  if (runs.length === 1) return <p class="empty">Give several runs to compare their configurations.</p>;
  if (differences.length === 0) return <p class="empty">The runs have the same configuration.</p>;
  return (
    <div class="table">
      <table>
        <caption>Configuration keys in which the runs differ</caption>
        <thead>
          <tr>
            <th scope="col">Key</th>
            {runs.map(({ id, name }) => (
              <th scope="col" key={id}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {differences.map(({ key, values }) => (
            <tr key={key}>
              <th scope="row">
                <code>{key}</code>
              </th>
              {values.map((value, i) => (
                <td key={runs[i]!.id}>{value ?? '–'}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Training runs, finished or not. */
export function RunsApp() {
  const { answer, curves, error } = useRuns();
  const [view, setView] = useState<View>('curves');
  const [smoothing, setSmoothing] = useState(0);
  const several = (answer?.runs.length ?? 0) > 1;
  return (
    <>
      <header>
        <h1>
          vicregl <span>training {several ? 'runs' : 'run'}</span>
        </h1>
      </header>
      <main>
        {error && (
          <div class="problem" role="alert">
            <strong>The runs cannot be read.</strong> {error.message}
          </div>
        )}
        {!answer && !error && <p class="empty">Reading the logs…</p>}
        {answer && (
          <>
            <div class="runs">
              {answer.runs.map((run) => (
                <RunCard key={run.id} run={run} coloured={several} />
              ))}
            </div>
            <Tabs tabs={VIEWS} chosen={view} onChoose={setView} label="Views">
              {(view === 'curves' || view === 'monitors') && (
                <>
                  <div class="controls">
                    <label class="slider">
                      Smoothing
                      <input
                        type="range"
                        min="0"
                        max="0.98"
                        step="0.02"
                        value={smoothing}
                        onInput={(event) => setSmoothing(Number(event.currentTarget.value))}
                      />
                      <output>{smoothing.toFixed(2)}</output>
                    </label>
                    <span class="hint">Drag over a chart to zoom; double-click to see all of it.</span>
                  </div>
                  <Curves {...{ answer, curves, smoothing }} monitors={view === 'monitors'} />
                </>
              )}
              {view === 'crops' && answer.runs.map((run) => <CropsPanel key={run.id} run={run} />)}
              {view === 'configuration' && <Differences {...answer} />}
            </Tabs>
          </>
        )}
      </main>
    </>
  );
}
