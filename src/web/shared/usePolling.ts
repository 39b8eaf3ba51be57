import { useEffect, useState } from 'preact/hooks';
import { type ApiError, asApiError } from './api.js';

/**
 * Reads from the server again and again while the page is visible, as long as the component is shown.
 * @param open makes the function that reads, once for the time that the component is shown.
 * @param everyMs time from one reading to the next
 * @returns the error of the last reading, if it failed
 */
export function usePolling(open: () => (signal: AbortSignal) => Promise<void>, everyMs: number): ApiError | undefined {
  const [error, setError] = useState<ApiError | undefined>(undefined);
  useEffect(() => {
    const stop = new AbortController();
    const read = open();
    let timer: ReturnType<typeof setTimeout>;
    const poll = async () => {
      try {
        if (document.visibilityState === 'visible') {
          await read(stop.signal);
          setError(undefined);
        }
      } catch (cause) {
        if (!stop.signal.aborted) setError(asApiError(cause));
      }
      if (!stop.signal.aborted) timer = setTimeout(poll, everyMs);
    };
    void poll();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, []);
  return error;
}
