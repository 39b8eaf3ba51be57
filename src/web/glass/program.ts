import { postJson } from '../shared/api.js';
import type { EmbedJson, EmbedRequest, FeaturesJson, FeaturesRequest, MatchJson, MatchRequest } from './messages.js';
import { Photo } from './photo.js';
import { Reference } from './reference.js';

/**
 * What a view asks of the service: calls in order, of which later ones may use the answers of earlier ones. The page runs
 * it, and `snippets.ts` writes it down for other clients.
 */
export type Program = readonly Call[];

export type Call =
  | { readonly method: 'Embed'; readonly request: EmbedRequest }
  | { readonly method: 'ExtractFeatures'; readonly request: FeaturesRequest }
  | { readonly method: 'Match'; readonly request: MatchRequest };

export type Answer = EmbedJson | FeaturesJson | MatchJson;

/** Path of each method over HTTP. */
export const PATHS = { Embed: 'v1/embed', ExtractFeatures: 'v1/features', Match: 'v1/match' } as const;

function partOf(answers: readonly unknown[], { call, path }: Reference): unknown {
  return path.reduce<unknown>((value, key) => (value as Record<string | number, unknown>)[key], answers[call]);
}

/** JSON with other values for photographs and references. */
export function toJson(
  request: unknown,
  photo: (photo: Photo) => string,
  reference: (reference: Reference) => unknown,
  indent?: number,
): string {
  const replace = (_: string, value: unknown) => {
    if (value instanceof Photo) return photo(value);
    return value instanceof Reference ? reference(value) : value;
  };
  return JSON.stringify(request, replace, indent);
}

/** Equal for programs that have equal answers. */
export const keyOf = (program: Program): string =>
  toJson(
    program,
    ({ id }) => `photo ${id}`,
    ({ call, path }) => `answer ${call} ${path.join('.')}`,
  );

/** Runs a program. @returns the answers, in the order of its calls. */
export async function run(program: Program, signal: AbortSignal): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (const { method, request } of program) {
    const body = toJson(
      request,
      ({ base64 }) => base64,
      (reference) => partOf(answers, reference),
    );
    answers.push(await postJson<Answer>(PATHS[method], body, signal));
  }
  return answers;
}
