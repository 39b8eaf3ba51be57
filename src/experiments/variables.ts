import { ExperimentError } from './experimentError.js';

/** `${NAME}` in texts of an experiment: environment variables, and CELL, OUT and SEED in the flags of evaluations. */

/** Variables by name; undefined for one that is not set. */
export type Variables = Readonly<Record<string, string | undefined>>;

/**
 * The text with its variables in place.
 * @param where names it in the error.
 * @throws ExperimentError for a variable that is not set, and a `${` that is not a variable.
 */
export function expandText(text: string, variables: Variables, where: string): string {
  return text.replaceAll(/\$\{([^}]*)\}?/g, (whole, name: string) => {
    if (!/^\$\{[A-Za-z_][A-Za-z0-9_]*\}$/.test(whole)) {
      throw new ExperimentError(`${where}: ${JSON.stringify(text)}: write \${NAME} for the value of a variable`);
    }
    const value = Object.hasOwn(variables, name) ? variables[name] : undefined;
    if (value === undefined || value === '') {
      throw new ExperimentError(
        `${where}: the variable ${name} is not set; set it, such as ${name}=path vicregl experiments ...`,
      );
    }
    return value;
  });
}

/** The same for all texts inside a value; errors name the key too. */
export function expandAll<T>(value: T, variables: Variables, where: string, path: readonly string[] = []): T {
  const inside = (key: string, each: unknown) => expandAll(each, variables, where, [...path, key]);
  if (typeof value === 'string') return expandText(value, variables, [where, path.join('.')].join(', ')) as T;
  if (Array.isArray(value)) return value.map((each, i) => inside(String(i), each)) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, inside(key, each)])) as T;
}
