import { closestMatch } from 'leven';
import { z } from 'zod';

/** The keys that a configuration may have, by its schema: for messages about others. */

/** Keys of a group; null for a key that holds a value or a list. */
export interface KeyTree {
  readonly [key: string]: KeyTree | null;
}

interface JsonSchema {
  readonly properties?: Readonly<Record<string, JsonSchema>>;
}

/** The keys of an object's schema. */
export function keyTree(schema: z.ZodType): KeyTree {
  const treeOf = ({ properties = {} }: JsonSchema): KeyTree =>
    Object.fromEntries(Object.entries(properties).map(([key, of]) => [key, of.properties ? treeOf(of) : null]));
  return treeOf(z.toJSONSchema(schema, { io: 'input' }) as JsonSchema);
}

/** The values of a configuration, or of a part of it, by their keys: `a.b.c` -> value, lists whole. */
export function flattenKeys(value: unknown, prefix = ''): [string, unknown][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [[prefix, value]];
  return Object.entries(value).flatMap(([key, inner]) => flattenKeys(inner, prefix === '' ? key : `${prefix}.${key}`));
}

/** The keys of the group at a path; undefined if there is no such group. */
function groupAt(tree: KeyTree, path: readonly PropertyKey[]): KeyTree | undefined {
  let group: KeyTree | null | undefined = tree;
  for (const key of path) group = group && Object.hasOwn(group, key) ? group[String(key)] : undefined;
  return group ?? undefined;
}

/** Every key with its path from the top. */
function paths(tree: KeyTree, prefix = ''): string[] {
  return Object.entries(tree).flatMap(([key, below]) => [
    `${prefix}${key}`,
    ...(below === null ? [] : paths(below, `${prefix}${key}.`)),
  ]);
}

const plain = (key: string) => key.toLowerCase().replaceAll(/[^a-z0-9]/g, '');

/** The nearest of some names, whatever their case and separators; undefined if none is near. */
function nearest(name: string, among: readonly string[]): string | undefined {
  const found = closestMatch(plain(name), among.map(plain), { maxDistance: Math.max(1, Math.floor(name.length / 3)) });
  return found === undefined ? undefined : among.find((one) => plain(one) === found);
}

/**
 * A hint after an unknown name: the one that is probably meant, or all.
 * @param meant by default the nearest
 */
export const didYouMean = (name: string, known: readonly string[], meant = nearest(name, known)): string =>
  meant === undefined ? `there are ${known.join(', ')}` : `did you mean ${meant}?`;

/**
 * The message for a key that a group does not have: the key that was probably meant, in this group or, under the same
 * name, in another; otherwise the known keys.
 * @param path of the group, from the top.
 */
export function unknownKey(tree: KeyTree, path: readonly PropertyKey[], key: string): string {
  const known = Object.keys(groupAt(tree, path) ?? tree);
  const inGroup = nearest(key, known);
  const elsewhere = paths(tree).find((one) => plain(one.slice(one.lastIndexOf('.') + 1)) === plain(key));
  // An equal name in another group is preferred to a similar one.
  const exact = inGroup !== undefined && plain(inGroup) === plain(key) ? inGroup : undefined;
  return `"${key}" is no key; ${didYouMean(key, known, exact ?? elsewhere ?? inGroup)}`;
}

/** The first key of a path or of the groups of a value that the tree lacks; undefined if it has all. */
export function firstUnknown(
  tree: KeyTree,
  path: readonly string[],
  value: unknown,
): { readonly path: readonly string[]; readonly key: string } | undefined {
  for (const [i, key] of path.entries()) {
    const group = groupAt(tree, path.slice(0, i));
    if (group !== undefined && !Object.hasOwn(group, key)) return { path: path.slice(0, i), key };
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value) || groupAt(tree, path) === undefined) return;
  for (const [key, inner] of Object.entries(value)) {
    const unknown = firstUnknown(tree, [...path, key], inner);
    if (unknown !== undefined) return unknown;
  }
  return undefined;
}

/** The problems of an issue, including the value; custom messages already include it. @param tree the schema's keys. */
export function explainIssue(issue: z.core.$ZodIssue, tree: KeyTree): string[] {
  const { code, input, message } = issue;
  if (code === 'custom') return [message];
  if (code === 'unrecognized_keys') return issue.keys.map((key) => unknownKey(tree, issue.path, key));
  if (input === undefined) return [`is missing; ${message.replace(/^Invalid input: (.*), received undefined$/, '$1')}`];
  const verdict = `${message.charAt(0).toLowerCase()}${message.slice(1)}`;
  // JSON has no infinite numbers.
  const value = typeof input === 'number' ? String(input) : JSON.stringify(input);
  return [`${value} is ${/^in/.test(verdict) ? 'an ' : ''}${verdict}`];
}
