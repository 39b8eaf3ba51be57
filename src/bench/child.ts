import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

/** A script in a separate process that answers one request at a time. */
export interface Child {
  readonly pid: number;
  /** Sends a request and waits for the response. @throws Error with the message of the child's error, or if the process ended. */
  ask<Response>(request: object): Promise<Response>;
  /** Ends the process. */
  close(): Promise<void>;
}

interface Answer {
  readonly value?: unknown;
  readonly error?: string;
}

async function answerOf(child: ChildProcess, script: string): Promise<Answer> {
  const done = new AbortController();
  try {
    return await Promise.race([
      once(child, 'message', { signal: done.signal }).then(([answer]) => answer as Answer),
      once(child, 'exit', { signal: done.signal }).then(([code, signal]) => {
        throw new Error(`${script} ended before it answered (exit code ${code}, signal ${signal})`);
      }),
    ]);
  } finally {
    done.abort();
  }
}

/** Starts a script that calls `answerParent`. */
export function startChild(script: URL): Child {
  const child = fork(script, { serialization: 'advanced', execArgv: [] });
  return {
    pid: child.pid!,
    async ask<Response>(request: object): Promise<Response> {
      child.send(request);
      const { value, error } = await answerOf(child, script.pathname);
      if (error !== undefined) throw new Error(error);
      return value as Response;
    },
    async close() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.disconnect();
      child.kill();
      await exited;
    },
  };
}

/** In the child: answers each request of the parent with the result of `work`, and exits when the parent disconnects. */
export function answerParent<Request>(work: (request: Request) => Promise<unknown>): void {
  process.on('disconnect', () => process.exit());
  process.on('message', (request: Request) => {
    work(request).then(
      (value) => process.send?.({ value } satisfies Answer),
      (error: unknown) => process.send?.({ error: String(error) } satisfies Answer),
    );
  });
}
