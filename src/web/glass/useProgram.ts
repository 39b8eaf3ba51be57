import { useEffect, useState } from 'preact/hooks';
import { ApiError } from '../shared/api.js';
import { type Answer, keyOf, type Program, run } from './program.js';

/** The state of a program that a view needs. */
export interface Outcome {
  /** Its answers; while a program for the same pictures replaces another, those of the other. */
  readonly answers: readonly Answer[] | undefined;
  readonly error: ApiError | undefined;
  readonly loading: boolean;
}

/** Answers that the page keeps, so that going back to a view asks nothing again. */
const KEPT = 48;
const cache = new Map<string, readonly Answer[]>();

function keep(key: string, answers: readonly Answer[]): void {
  cache.delete(key);
  cache.set(key, answers);
  if (cache.size > KEPT) cache.delete(cache.keys().next().value!);
}

/** Runs a program, unless its answers are kept. @throws ApiError */
export async function answersOf(program: Program, signal: AbortSignal): Promise<readonly Answer[]> {
  const key = keyOf(program);
  const answers = cache.get(key) ?? (await run(program, signal));
  keep(key, answers);
  return answers;
}

/** A slider that moves asks only for the value at which it rests. */
const REST_MS = 120;

const IDLE: Outcome = { answers: undefined, error: undefined, loading: false };

interface Held extends Outcome {
  readonly key: string;
  readonly subject: string;
}

/**
 * Runs a program when it changes, and aborts the one before.
 * @param subject what the answers are about: old answers are shown until new ones arrive only if it stays the same
 */
export function useProgram(program: Program | undefined, subject: string): Outcome {
  const key = program === undefined ? '' : keyOf(program);
  const [held, setHeld] = useState<Held>({ ...IDLE, key: '', subject: '' });
  // The key stands for the program.
  useEffect(() => {
    if (program === undefined) return undefined;
    const known = cache.get(key);
    if (known) {
      keep(key, known);
      setHeld({ answers: known, error: undefined, loading: false, key, subject });
      return undefined;
    }
    const stop = new AbortController();
    const timer = setTimeout(() => {
      answersOf(program, stop.signal).then(
        (answers) => {
          if (!stop.signal.aborted) setHeld({ answers, error: undefined, loading: false, key, subject });
        },
        (cause: unknown) => {
          if (stop.signal.aborted) return;
          const error = cause instanceof ApiError ? cause : new ApiError(String(cause), 0);
          setHeld({ answers: undefined, error, loading: false, key, subject });
        },
      );
    }, REST_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [key, subject]);
  if (program === undefined) return IDLE;
  if (held.key === key) return held;
  return { answers: held.subject === subject ? held.answers : undefined, error: undefined, loading: true };
}
