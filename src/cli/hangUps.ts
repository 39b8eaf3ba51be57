/**
 * SIGHUP reloads a running service. By default it would end the process, so a signal that comes while the service starts (this program
 * is loaded, models are verified and warmed up) is kept, and reloads once when the service is there.
 */

let reload: (() => void) | undefined;
let kept = false;

function onHangUp(): void {
  if (reload) reload();
  else kept = true;
}

/** Keeps every SIGHUP from now on. */
export function keepHangUps(): void {
  if (!process.listeners('SIGHUP').includes(onHangUp)) process.on('SIGHUP', onHangUp);
}

/** Reloads at every SIGHUP from now on, and at once if one was kept. */
export function reloadOnHangUps(work: () => void): void {
  keepHangUps();
  reload = work;
  if (!kept) return;
  kept = false;
  work();
}
