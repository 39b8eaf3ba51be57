import { useState } from 'preact/hooks';
import type { CurvesAnswer, RunsAnswer } from '../../runsView/contract.js';
import { getJson } from '../shared/api.js';
import { usePolling } from '../shared/usePolling.js';

const EVERY_MS = 2000;

/** The runs with their curves, read again while the page is visible. */
export function useRuns() {
  const [answer, setAnswer] = useState<RunsAnswer | undefined>(undefined);
  const [curves, setCurves] = useState<ReadonlyMap<number, CurvesAnswer>>(new Map());
  const error = usePolling(() => {
    const seen = new Map<number, CurvesAnswer>();
    return async (signal) => {
      const next = await getJson<RunsAnswer>('api/runs', signal);
      let changed = false;
      for (const { id, revision } of next.runs) {
        if (seen.get(id)?.revision === revision) continue;
        seen.set(id, await getJson<CurvesAnswer>(`api/runs/${id}/curves`, signal));
        changed = true;
      }
      // An equal answer draws nothing again.
      setAnswer((before) => (JSON.stringify(before) === JSON.stringify(next) ? before : next));
      if (changed) setCurves(new Map(seen));
    };
  }, EVERY_MS);
  return { answer, curves, error };
}
