import { availableParallelism } from 'node:os';
import type { ModelFolder } from '../models/folder.js';
import { type Child, startChild } from './child.js';
import { median } from './quantile.js';
import type { RawSetup, RawWindow } from './rawProcess.js';

/** How the raw session is run. */
export interface RawForm {
  /** Sessions that run at the same time, each in a process of its own. */
  readonly sessions: number;
  readonly threads: number;
  readonly batch: number;
  readonly spinning: boolean;
}

/** One form and the rates that were measured of it. */
export interface RawMeasurement extends RawForm {
  /** Images a second of all its sessions: the median of its windows. */
  readonly imagesPerSecond: number;
  /** Processor seconds of one image: the median. */
  readonly cpuSecondsPerImage: number;
  readonly windows: number;
}

/** A form that stands ready to be measured again and again. */
export interface RawSide {
  /** @returns the rate of all its sessions together, and the median processor time of an image */
  window(seconds: number): Promise<RawWindow>;
  measurement(): RawMeasurement;
  close(): Promise<void>;
}

/** The ways in which a raw session may be fast: one with all threads, or one for each core; alone or in batches. */
export function rawForms(device: 'cpu' | 'cuda', threads = availableParallelism()): RawForm[] {
  const batches = device === 'cuda' ? [1, 8, 32] : [1, 8];
  const one = batches.flatMap((batch) =>
    (device === 'cuda' ? [true] : [true, false]).map((spinning) => ({ sessions: 1, threads, batch, spinning })),
  );
  if (device === 'cuda' || threads === 1) return one;
  return [...one, ...batches.map((batch) => ({ sessions: threads, threads: 1, batch, spinning: false }))];
}

/** Opens the sessions of a form. */
export async function openRaw(folder: ModelFolder, device: 'cpu' | 'cuda', form: RawForm): Promise<RawSide> {
  const { threads, spinning, batch } = form;
  const setup: RawSetup = {
    ...{ device, threads, spinning, batch },
    path: folder.graphPath('backbone')!,
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

/** What a form reaches in one window, opened for it alone. */
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
 * The fastest of some forms, each measured for one window.
 * @returns it, open, with what was measured of every form
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
