import { availableParallelism } from 'node:os';
import type { ModelFolder } from '../models/folder.js';
import { type Child, startChild } from './child.js';
import { median } from './quantile.js';
import type { RawSetup, RawWindow } from './rawProcess.js';

/** Configuration of a raw session. */
export interface RawForm {
  /** Number of concurrent sessions, each in a separate process. */
  readonly sessions: number;
  readonly threads: number;
  readonly batch: number;
  readonly spinning: boolean;
}

/** A configuration and its measured rates. */
export interface RawMeasurement extends RawForm {
  /** Images per second of all sessions; the median over the windows. */
  readonly imagesPerSecond: number;
  /** CPU seconds per image; the median over the windows. */
  readonly cpuSecondsPerImage: number;
  readonly windows: number;
}

/** Open sessions of a configuration, which can be measured repeatedly. */
export interface RawSide {
  /** Measures one window. @returns the total rate of all sessions, and their median CPU time per image */
  window(seconds: number): Promise<RawWindow>;
  measurement(): RawMeasurement;
  close(): Promise<void>;
}

/** Configurations that may be the fastest: one session with all threads, or one session per core; single images or batches. */
export function rawForms(device: 'cpu' | 'cuda', threads = availableParallelism()): RawForm[] {
  const batches = device === 'cuda' ? [1, 8, 32] : [1, 8];
  const one = batches.flatMap((batch) =>
    (device === 'cuda' ? [true] : [true, false]).map((spinning) => ({ sessions: 1, threads, batch, spinning })),
  );
  if (device === 'cuda' || threads === 1) return one;
  return [...one, ...batches.map((batch) => ({ sessions: threads, threads: 1, batch, spinning: false }))];
}

/** Opens the sessions of a configuration. */
export async function openRaw(folder: ModelFolder, device: 'cpu' | 'cuda', form: RawForm): Promise<RawSide> {
  const { threads, spinning, batch } = form;
  const setup: RawSetup = {
    ...{ device, threads, spinning, batch },
    path: folder.graphPath('backbone')!,
    compute: folder.manifest.compute,
    side: folder.manifest.preprocessing.crop,
  };
  const children: Child[] = Array.from({ length: form.sessions }, () =>
    startChild(new URL('./rawProcess.js', import.meta.url)),
  );
  await Promise.all(children.map((child) => child.ask({ kind: 'open', setup })));
  const rates: number[] = [];
  const cpu: number[] = [];
  return {
    async window(seconds) {
      const windows = await Promise.all(children.map((child) => child.ask<RawWindow>({ kind: 'window', seconds })));
      const rate = windows.reduce((sum, { imagesPerSecond }) => sum + imagesPerSecond, 0);
      const cpuSecondsPerImage = median(windows.map((each) => each.cpuSecondsPerImage));
      rates.push(rate);
      cpu.push(cpuSecondsPerImage);
      return { imagesPerSecond: rate, cpuSecondsPerImage };
    },
    measurement: () => ({
      ...form,
      imagesPerSecond: median(rates),
      cpuSecondsPerImage: median(cpu),
      windows: rates.length,
    }),
    async close() {
      await Promise.all(children.map((child) => child.close()));
    },
  };
}

/** Opens a configuration, measures one window and closes it. */
export async function measureRaw(
  folder: ModelFolder,
  device: 'cpu' | 'cuda',
  form: RawForm,
  seconds: number,
): Promise<RawMeasurement> {
  const side = await openRaw(folder, device, form);
  await side.window(seconds);
  const measured = side.measurement();
  await side.close();
  return measured;
}

/**
 * Finds the fastest of several configurations; each is measured for one window.
 * @returns the fastest one, opened again, and the measurements of all
 */
export async function fastestRaw(
  folder: ModelFolder,
  device: 'cpu' | 'cuda',
  forms: readonly RawForm[],
  seconds: number,
): Promise<{ readonly side: RawSide; readonly tried: readonly RawMeasurement[] }> {
  const tried: RawMeasurement[] = [];
  for (const form of forms) tried.push(await measureRaw(folder, device, form, seconds));
  const best = tried.reduce((a, b) => (b.imagesPerSecond > a.imagesPerSecond ? b : a));
  return { side: await openRaw(folder, device, best), tried };
}
