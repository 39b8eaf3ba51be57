import { useEffect, useState } from 'preact/hooks';
import type { CurvesAnswer, RunsAnswer } from '../../runsView/contract.js';
import { ApiError, getJson } from '../shared/api.js';

const EVERY_MS = 2000;

/** The runs with their curves, read again while the page is visible. */
export function useRuns() {
  const [answer, setAnswer] = useState<RunsAnswer | undefined>(undefined);
  const [curves, setCurves] = useState<ReadonlyMap<number, CurvesAnswer>>(new Map());
  const [error, setError] = useState<ApiError | undefined>(undefined);
  useEffect(() => {
    const stop = new AbortController();
    const seen = new Map<number, CurvesAnswer>();
    let timer: ReturnType<typeof setTimeout>;
    const read = async () => {
      try {
        if (document.visibilityState === 'visible') {
          const next = await getJson<RunsAnswer>('api/runs', stop.signal);
          let changed = false;
          for (const { id, revision } of next.runs) {
            if (seen.get(id)?.revision === revision) continue;
            seen.set(id, await getJson<CurvesAnswer>(`api/runs/${id}/curves`, stop.signal));
            changed = true;
          }
          setAnswer(next);
          if (changed) setCurves(new Map(seen));
          setError(undefined);
        }
      } catch (cause) {
        if (!stop.signal.aborted) setError(cause instanceof ApiError ? cause : new ApiError(String(cause), 0));
      }
      if (!stop.signal.aborted) timer = setTimeout(read, EVERY_MS);
    };
    void read();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, []);
  return { answer, curves, error };
}
