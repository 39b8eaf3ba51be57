import { createFakeEngine, type FakeEngineOptions } from '../../src/engine/fakeEngine.js';
import { tinyManifest } from './tinyModel.js';

/** A fake engine whose runs begin and end as a test says; nothing has to be timed. */
export function createHeldEngine(options: Partial<FakeEngineOptions> = {}) {
  const runs: number[] = [];
  let begun: (() => void)[] = [];
  let holding: (() => void)[] = [];
  let held = true;
  const release = (): void => {
    for (const go of holding) go();
    holding = [];
  };
  const engine = createFakeEngine({
    manifest: { ...tinyManifest, files: {} },
    ...options,
    failWith(batch, wants) {
      runs.push(batch.shape[0]!);
      return options.failWith?.(batch, wants);
    },
    async hold() {
      for (const wake of begun) wake();
      begun = [];
      if (held) await new Promise<void>((resolve) => holding.push(resolve));
    },
  });
  return {
    engine,
    /** Images of every run so far. */
    runs,
    /** Resolves when the engine begins its next run. */
    nextRun: () => new Promise<void>((resolve) => begun.push(resolve)),
    /** Lets the runs end that wait. */
    release,
    /** Holds the runs from now on, as at the beginning. */
    hold(): void {
      held = true;
    },
    /** Lets the runs end that wait, and holds none from now on. */
    free(): void {
      held = false;
      release();
    },
  };
}
