/** What is cancelled when a signal is aborted, and the signal's one listener. */
interface Cancelled {
  readonly calls: Set<() => void>;
  readonly listener: () => void;
}

const bySignal = new WeakMap<AbortSignal, Cancelled>();

function listen(signal: AbortSignal): Cancelled {
  const calls = new Set<() => void>();
  const listener = (): void => {
    for (const cancel of [...calls]) cancel();
  };
  signal.addEventListener('abort', listener, { once: true });
  const cancelled = { calls, listener };
  bySignal.set(signal, cancelled);
  return cancelled;
}

/**
 * Calls `cancel` when a signal is aborted. All calls of a signal share one listener: Node warns of more than ten.
 * @returns a function that ends this
 */
export function whenAborted(signal: AbortSignal | undefined, cancel: () => void): () => void {
  if (signal === undefined) return () => {};
  const { calls, listener } = bySignal.get(signal) ?? listen(signal);
  calls.add(cancel);
  return () => {
    if (!calls.delete(cancel) || calls.size > 0) return;
    signal.removeEventListener('abort', listener);
    bySignal.delete(signal);
  };
}
