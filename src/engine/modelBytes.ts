import { join } from 'node:path';
import { MessageChannel } from 'node:worker_threads';
import { readListedFile } from '../models/listedFile.js';
import { externalFiles } from '../onnx/externalData.js';
import { engineGraphs, type WorkerSetup } from './messages.js';

/** A model's graphs and the files that they refer to, as verified. */
export interface ModelBytes {
  readonly graphs: readonly {
    readonly kind: (typeof engineGraphs)[number];
    /** Where it was read from, for error messages. */
    readonly path: string;
    readonly bytes: Uint8Array;
  }[];
  readonly externalData: readonly { readonly path: string; readonly data: Uint8Array }[];
}

/**
 * Reads all files from which a model's sessions are made. Sessions are opened from these bytes and never by path, for two
 * reasons: a file can change between its check and its opening; and ONNX Runtime maps weight files into memory, so a file
 * written to in place would change the results of an open session (and a truncated one would end its process).
 * @throws ModelFolderError if a file is missing or is not what was verified; Error if a graph refers to one that the manifest does not
 *   list.
 */
export async function readModelBytes({ dir, graphs, files }: WorkerSetup): Promise<ModelBytes> {
  const read = new Map<string, Promise<Uint8Array>>();

  function verified(name: string, where: string): Promise<Uint8Array> {
    const listed = Object.hasOwn(files, name) ? files[name] : undefined;
    if (listed === undefined) throw new Error(`${where} "${name}", which the manifest does not list`);
    const reading = read.get(name) ?? readListedFile(join(dir, name), listed);
    read.set(name, reading);
    return reading;
  }

  const opened: ModelBytes['graphs'][number][] = [];
  const external = new Map<string, Uint8Array>();
  for (const kind of engineGraphs) {
    const name = graphs[kind];
    if (name === undefined) continue;
    const path = join(dir, name);
    const bytes = await verified(name, `${dir}: the graph ${kind} is`);
    opened.push({ kind, path, bytes });
    for (const file of externalFilesOf(bytes, path)) external.set(file, await verified(file, `${path} refers to`));
  }
  return { graphs: opened, externalData: [...external].map(([path, data]) => ({ path, data })) };
}

/**
 * Releases the memory of the bytes immediately. Sessions have copies of what they need, and the garbage collector of an idle worker
 * may not run for hours. It transfers the buffers in a message that nobody receives, which is freed with its channel.
 */
export function freeModelBytes({ graphs, externalData }: ModelBytes): void {
  const buffers = [...graphs.map(({ bytes }) => bytes), ...externalData.map(({ data }) => data)].map(
    ({ buffer }) => buffer as ArrayBuffer,
  );
  const { port1, port2 } = new MessageChannel();
  port1.postMessage(undefined, [...new Set(buffers)]);
  port1.close();
  port2.close();
}

function externalFilesOf(bytes: Uint8Array, path: string): Set<string> {
  try {
    return externalFiles(bytes);
  } catch (cause) {
    throw new Error(`${path} cannot be loaded: it is no ONNX model (${(cause as Error).message})`, { cause });
  }
}
