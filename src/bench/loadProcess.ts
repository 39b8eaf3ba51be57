/**
 * The load generator, a separate process so that calling and serving do not share a thread. Accepts one `open` request, then
 * windows one at a time, and exits when its parent disconnects.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type Connected, connect, type Target } from './callers.js';
import { answerParent } from './child.js';
import { type Load, type LoadWindow, runWindow, type WindowLengths } from './load.js';

export type LoadRequest =
  | { readonly kind: 'open'; readonly target: Target }
  | { readonly kind: 'window'; readonly load: Load; readonly lengths: WindowLengths };

/** A window, with the CPU time of the generator. */
export interface GeneratedWindow extends LoadWindow {
  /** CPU seconds of this process during the window and its ramp. */
  readonly cpuSeconds: number;
}

let connected: Connected | undefined;

answerParent(async (request: LoadRequest): Promise<GeneratedWindow | undefined> => {
  if (request.kind === 'open') {
    connected = await connect(request.target);
    return undefined;
  }
  if (connected === undefined) throw new Error('a window was requested before the connections were opened');
  const { ramp, seconds } = request.lengths;
  const before = process.cpuUsage();
  // Measured at the end of the window; the last response may arrive much later.
  const spent = delay((ramp + seconds) * 1e3).then(() => process.cpuUsage(before));
  const window = await runWindow(connected.call, request.load, request.lengths);
  const { user, system } = await spent;
  return { ...window, cpuSeconds: (user + system) / 1e6 };
});
