/**
 * Asks for a graceful stop at the first SIGINT or SIGTERM; the second ends the process.
 *
 * The listeners stay until then: signal-exit, which is active while a file is written or a bar is drawn, ends the process if it finds
 * no other listener, and `process.once` removes its listener before it calls it. The second signal is sent again without them, so that
 * signal-exit removes temporary files and restores the terminal.
 * @param more further signals that ask for it
 * @returns a function that removes the listeners
 */
export function stopOnSignals(stop: () => void, more: readonly NodeJS.Signals[] = []): () => void {
  const signals: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', ...more];
  let asked = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (asked) {
      off();
      process.kill(process.pid, signal);
      return;
    }
    asked = true;
    stop();
  };
  const off = (): void => {
    for (const signal of signals) process.off(signal, onSignal);
  };
  for (const signal of signals) process.on(signal, onSignal);
  return off;
}
