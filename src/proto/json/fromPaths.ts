import type protobuf from 'protobufjs';
import { type JsonError, jsonError } from './jsonError.js';
import { type FieldPlan, knownFields, messagePlan } from './messagePlan.js';

/** A value of a message by the path of its field, such as `image.crop.top`, as in a query or a form. */
export type PathValue = readonly [path: string, value: string | Uint8Array];

type Tree = Record<string, unknown>;

/** The text of a query as JSON has it; numbers and enums stay text, which the message's reader accepts. */
function jsonOf(field: FieldPlan, value: string | Uint8Array, path: string): unknown {
  if (typeof value !== 'string') {
    if (field.kind === 'bytes') return value;
    throw jsonError(path, `is a file, but the field is of type ${field.enum?.name ?? field.kind}`);
  }
  if (field.kind === 'bool') {
    // As in a query without a value: ?mutual
    if (value === 'true' || value === '1' || value === '') return true;
    if (value === 'false' || value === '0') return false;
  }
  if (field.enum && /^\d+$/.test(value)) return Number(value);
  return value;
}

/** Bytes for a message stand for the field of it that `carriers` names, by the message's name. */
function carriedPath(field: FieldPlan, path: string, carriers: Readonly<Record<string, string>>): string | undefined {
  const member = field.message && carriers[field.message.name];
  return member === undefined ? undefined : `${path}.${member}`;
}

/**
 * Adds values to a JSON object by the paths of their fields. A repeated field takes several values, also separated by commas; a message
 * takes an empty value, which gives it its defaults.
 * @param tree changed in place
 * @param carriers which field of a message a file means, such as `encoded` for an `Image`
 * @throws JsonError naming a path that is not a field, or that is set twice.
 */
export function addPaths(
  type: protobuf.Type,
  tree: Tree,
  values: readonly PathValue[],
  carriers: Readonly<Record<string, string>>,
): void {
  for (const [path, value] of values) addPath(type, tree, path, value, carriers);
}

/** A path for an error, before all of it is known to consist of names of fields. */
const cut = (path: string): string => path.slice(0, 200);

function addPath(
  root: protobuf.Type,
  tree: Tree,
  path: string,
  value: string | Uint8Array,
  carriers: Readonly<Record<string, string>>,
): void {
  const names = path.split('.');
  let type = root;
  let node = tree;
  for (const [i, name] of names.entries()) {
    const field = messagePlan(type).byKey.get(name);
    if (field === undefined) {
      throw jsonError(cut(path), `${type.name} has no field ${name.slice(0, 64)}; ${knownFields(type)}`);
    }
    const key = [field.name, field.originalName].find((own) => Object.hasOwn(node, own)) ?? field.name;
    if (field.map || (field.message && field.repeated)) {
      throw jsonError(cut(path), `${name} is a ${field.map ? 'map' : 'list of messages'}; send it as JSON`);
    }
    if (i < names.length - 1) {
      if (!field.message) throw jsonError(cut(path), `${name} has no fields`);
      node = childOf(node, key, path);
      type = field.message;
      continue;
    }
    const carried = typeof value === 'string' ? undefined : carriedPath(field, path, carriers);
    if (carried !== undefined) {
      addPath(root, tree, carried, value, carriers);
      return;
    }
    if (field.message) {
      // Its defaults, as in a query without a value: ?homography
      if (value !== '' && value !== 'true') throw valueOfMessage(field.message, path);
      childOf(node, key, path);
    } else if (field.repeated) {
      node[key] ??= [];
      const list: unknown = node[key];
      if (!Array.isArray(list)) throw jsonError(path, 'is set, and is not a list');
      const parts = typeof value === 'string' ? value.split(',') : [value];
      for (const part of parts) list.push(jsonOf(field, part, path));
    } else if ((node[key] ?? null) !== null) throw jsonError(path, 'is set more than once');
    else node[key] = jsonOf(field, value, path);
  }
}

/** The object of a message's field, made if the field is absent or null. */
function childOf(node: Tree, key: string, path: string): Tree {
  node[key] ??= {};
  const child = node[key];
  if (typeof child !== 'object' || child === null || Array.isArray(child) || child instanceof Uint8Array) {
    throw jsonError(cut(path), `${key} is set, and is not an object`);
  }
  return child as Tree;
}

function valueOfMessage(type: protobuf.Type, path: string): JsonError {
  const [first] = messagePlan(type).fields;
  const remedy = 'leave the value empty';
  if (first === undefined) return jsonError(path, `is a message without fields; ${remedy}`);
  return jsonError(
    path,
    `is a message; name one of its fields, such as ${path}.${first.name}, or ${remedy} for its defaults`,
  );
}
