import { useContext, useEffect, useState } from 'preact/hooks';
import { ApiError, asApiError } from '../shared/api.js';
import { idOf } from './messages.js';
import { type Answer, keyOf, type Program, run } from './program.js';
import { SessionContext } from './session.js';

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

/** name@version of the service's default model, as it was listed or has answered last. */
let defaultModel = '';
let onReplaced = () => {};

/** Calls back when a reload has replaced the service's default model. */
export function watchDefaultModel(listener: () => void): void {
  onReplaced = listener;
}

/** Drops the answers of the default model before another: vectors of two models cannot be compared. */
export function noteDefaultModel(id: string): void {
  const replaced = defaultModel !== '' && id !== defaultModel;
  defaultModel = id;
  if (!replaced) return;
  cache.clear();
  onReplaced();
}

/** Runs a program, unless its answers are kept. @throws ApiError, also if the model was replaced between two calls */
export async function answersOf(program: Program, signal: AbortSignal): Promise<readonly Answer[]> {
  const key = keyOf(program);
  let answers = cache.get(key);
  if (!answers) {
    answers = await run(program, signal);
    const ids = answers.map(({ model }) => idOf(model));
    if (program[0]?.request.model === undefined) ids.forEach(noteDefaultModel);
    const other = ids.find((id) => id !== ids[0]);
    if (other) throw new ApiError(`the service replaced its model ${ids[0]} by ${other} between two calls`, 0);
  }
  keep(key, answers);
  return answers;
}

/** A slider that moves asks only for the value at which it rests. */
const REST_MS = 120;

const IDLE: Outcome = { answers: undefined, error: undefined, loading: false };

interface Held extends Outcome {
  readonly key: string;
  readonly subject: string;
  /** The session's count. */
  readonly session: number;
}

/**
 * Runs a program when it changes, and in a new session, and aborts the one before.
 * @param subject what the answers are about: old answers are shown until new ones arrive only if it stays the same
 */
export function useProgram(program: Program | undefined, subject: string): Outcome {
  const key = program === undefined ? '' : keyOf(program);
  const session = useContext(SessionContext).count;
  const [held, setHeld] = useState<Held>({ ...IDLE, key: '', subject: '', session });
  // The key stands for the program.
  useEffect(() => {
    if (program === undefined) return undefined;
    const known = cache.get(key);
    if (known) {
      keep(key, known);
      setHeld({ answers: known, error: undefined, loading: false, key, subject, session });
      return undefined;
    }
    const stop = new AbortController();
    const timer = setTimeout(() => {
      answersOf(program, stop.signal).then(
        (answers) => {
          if (!stop.signal.aborted) setHeld({ answers, error: undefined, loading: false, key, subject, session });
        },
        (cause: unknown) => {
          if (stop.signal.aborted) return;
          setHeld({ answers: undefined, error: asApiError(cause), loading: false, key, subject, session });
        },
      );
    }, REST_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [key, subject, session]);
  if (program === undefined) return IDLE;
  if (held.key === key && held.session === session) return held;
  return { answers: held.subject === subject ? held.answers : undefined, error: undefined, loading: true };
}
