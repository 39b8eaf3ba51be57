import { join } from 'node:path';
import { stringify } from 'yaml';
import { writeFileAtomically } from '../files/atomicFile.js';
import { svgToPng } from '../image/svg.js';
import type { Score } from './checkpoint.js';
import { createCheckpointScore } from './checkpointScore.js';
import { collapseAlarms } from './collapseAlarm.js';
import type { TrainConfig } from './config.js';
import { createCurvePoints } from './curvePoints.js';
import { drawRun } from './curves.js';
import { tensorboardTag } from './loggedTerms.js';
import { type LogRecord, openRunLog, type ProbeRecord, type SkipRecord, type StepRecord } from './runLog.js';
import { createEventFile } from './tensorboard/eventFile.js';

/** Records a run: log.jsonl, TensorBoard's event file, the curves, the collapse alarm. */
export interface RunRecorder {
  /** Names of the photographs that were skipped. */
  readonly skipped: ReadonlySet<string>;
  /** Records a step. Returns the warnings that it causes. */
  step(record: StepRecord): Promise<readonly string[]>;
  /** Records a photograph that was skipped. */
  skip(record: SkipRecord): Promise<void>;
  /** Records the result of a probe. */
  probe(record: ProbeRecord): Promise<void>;
  /** Score of a checkpoint at this step, by `checkpoints.best`; none if its metric was not logged since the last one. */
  score(): Score | undefined;
  /** Names that have been logged so far. */
  names(): string[];
  /** Draws curves.svg and curves.png. */
  draw(): Promise<void>;
  close(): Promise<void>;
}

function tagged({ step: _, ...values }: StepRecord | ProbeRecord): Record<string, number> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [tensorboardTag(name), value]));
}

/**
 * Opens the records of a run that continues after `start` steps. The log up to there is replayed, so that curves, alarm
 * and scores are those of a run that never stopped.
 */
export async function openRunRecorder(run: string, config: TrainConfig, start: number): Promise<RunRecorder> {
  const alarms = collapseAlarms(config);
  const curve = createCurvePoints();
  const scores = createCheckpointScore(config.checkpoints.best, config.checkpoints.every);
  const skipped = new Set<string>();
  const names = new Set<string>();
  const take = (record: LogRecord): string[] => {
    if ('skipped' in record) skipped.add(String(record.skipped));
    scores.observe(record);
    curve.add(record);
    for (const [name, value] of Object.entries(record)) if (typeof value === 'number') names.add(name);
    if (!('lr' in record)) return [];
    return alarms.flatMap((alarm) => alarm.observe(record as StepRecord) ?? []);
  };
  const log = await openRunLog(run, start, take);

  const events = await createEventFile(join(run, 'tensorboard'), start);
  if (start === 0) await events.text(0, 'config', `\`\`\`yaml\n${stringify(config)}\`\`\``);
  return {
    skipped,
    async step(record) {
      const warnings = take(record);
      await log.write(record);
      await events.scalars(record.step, tagged(record));
      for (const warning of warnings) {
        await log.write({ step: record.step, alarm: 'collapse', message: warning });
        await events.text(record.step, 'alarm', warning);
      }
      return warnings;
    },
    async skip(record) {
      take(record);
      await log.write(record);
    },
    async probe(record) {
      take(record);
      await log.write(record);
      await events.scalars(record.step, tagged(record));
    },
    score: () => scores.score(),
    names: () => [...names],
    async draw() {
      const svg = await drawRun({ name: config.name, points: curve.points() });
      await writeFileAtomically(join(run, 'curves.svg'), svg);
      await writeFileAtomically(join(run, 'curves.png'), await svgToPng(svg, 2));
    },
    close: () => events.close(),
  };
}
