/**
 * The load generator: a process of its own, so that making calls and answering them do not share a thread. Takes one
 * `open`, then windows one after the other, and ends when its parent disconnects.
 */
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
  const before = process.cpuUsage();
  const window = await runWindow(connected.call, request.load, request.lengths);
  const { user, system } = process.cpuUsage(before);
  return { ...window, cpuSeconds: (user + system) / 1e6 };
});
