/**
 * The load generator: a process of its own, so that making calls and answering them do not share a thread. Takes one
 * `open`, then windows one after the other, and ends when its parent disconnects.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type Connected, connect, type Target } from './callers.js';
import { answerParent } from './child.js';
import { type Load, type LoadWindow, runWindow, type WindowLengths } from './load.js';

export type LoadRequest =
  | { readonly kind: 'open'; readonly target: Target }
  | { readonly kind: 'window'; readonly load: Load; readonly lengths: WindowLengths };

/** A window and what it cost the generator itself. */
export interface GeneratedWindow extends LoadWindow {
  /** Processor seconds of this process during the window with its ramp. */
  readonly cpuSeconds: number;
}

let connected: Connected | undefined;

answerParent(async (request: LoadRequest): Promise<GeneratedWindow | undefined> => {
  if (request.kind === 'open') {
    connected = await connect(request.target);
    return undefined;
  }
  if (connected === undefined) throw new Error('a window was asked for before the connections were opened');
  const { ramp, seconds } = request.lengths;
  const before = process.cpuUsage();
  // Not when the last call has been answered, which may be much later.
  const spent = delay((ramp + seconds) * 1e3).then(() => process.cpuUsage(before));
  const window = await runWindow(connected.call, request.load, request.lengths);
  const { user, system } = await spent;
  return { ...window, cpuSeconds: (user + system) / 1e6 };
});
