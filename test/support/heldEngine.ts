import { createFakeEngine, type FakeEngineOptions } from '../../src/engine/fakeEngine.js';
import { tinyManifest } from './tinyModel.js';

/** A fake engine whose runs start and end on request of the test, so that no test depends on time. */
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
    /** Resolves when the engine starts its next run. */
    nextRun: () => new Promise<void>((resolve) => begun.push(resolve)),
    /** Ends the waiting runs. */
    release,
    /** Makes later runs wait, as at the start. */
    hold(): void {
      held = true;
    },
    /** Ends the waiting runs, and lets later runs end immediately. */
    free(): void {
      held = false;
      release();
    },
  };
}
