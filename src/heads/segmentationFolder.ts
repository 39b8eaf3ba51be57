import { createHash } from 'node:crypto';
import { readFile, rename, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { fileProblem } from '../files/fileProblem.js';
import { checkOutputFolder, writeOutput } from '../files/output.js';
import { withFolderBeside } from '../files/scratch.js';
import { syncPath, writeSynced } from '../files/syncedFile.js';

/** A folder that holds a segmentation head: `head.onnx` and `manifest.json`. */

const HEAD_FORMAT = 'vicregl-segmentation-head';
/** Raised when a reader of the previous version would misread a folder. */
const HEAD_VERSION = 1;

const GRAPH_FILE = 'head.onnx';
const MANIFEST_FILE = 'manifest.json';

const channel = z.int().min(0).max(255);

/** The parts of a manifest that must agree with each other. */
interface HeadGeometry {
  readonly maps: readonly { readonly name: string; readonly stride: number }[];
  readonly stride: number;
  readonly window: { readonly side: number; readonly step: number };
}

/** What contradicts itself in a manifest, by its key. */
function contradictions({ maps, stride, window }: HeadGeometry): { readonly key: string; readonly message: string }[] {
  const finest = maps[0]!.stride;
  const problems: { key: string; message: string }[] = [];
  if (new Set(maps.map(({ name }) => name)).size < maps.length)
    problems.push({ key: 'maps', message: 'a map is named twice' });
  if (maps.some((map) => map.stride % finest !== 0)) {
    problems.push({ key: 'maps', message: `strides must be multiples of the first, ${finest}` });
  }
  if (stride !== finest) problems.push({ key: 'stride', message: `it must be that of the first map, ${finest}` });
  if (window.step > window.side) {
    problems.push({
      key: 'window',
      message: 'the step must be at most the side: pixels between windows would have no class',
    });
  }
  return problems;
}

const headShape = z.strictObject({
  format: z.literal(HEAD_FORMAT),
  formatVersion: z.literal(HEAD_VERSION),
  created: z.iso.datetime(),
  classes: z
    .array(z.strictObject({ name: z.string().min(1), colour: z.tuple([channel, channel, channel]) }))
    .min(2)
    .max(255)
    .describe('By label, from 0, with the colours (red, green, blue) in which segmentations are drawn.'),
  protocol: z.string().describe('How the head was trained, in a sentence.'),
  maps: z
    .array(z.strictObject({ name: z.string(), channels: z.int().positive(), stride: z.int().positive() }))
    .min(1)
    .describe(
      "Inputs of the graph, float32 [B, h, w, channels]: the model's outputs of these names; strides in pixels.",
    ),
  stride: z.int().positive().describe('Input pixels from one logit to the next.'),
  inputStride: z.int().positive().describe('Sides of the network input are multiples of this number of pixels.'),
  window: z
    .strictObject({ side: z.int().positive(), step: z.int().positive() })
    .describe(
      'Photographs with a longer side are segmented in windows of this side, whose logits are averaged; in pixels.',
    ),
  shortest: z
    .int()
    .positive()
    .optional()
    .describe('Shorter side to which photographs are resized first, in pixels. Absent: they keep their size.'),
  outputStride: z.int().positive().optional().describe("Stride of a ResNet's last map that the head was trained on."),
  model: z
    .strictObject({ name: z.string(), version: z.string(), digest: z.string() })
    .describe('The model whose maps it reads; `digest` identifies its weights.'),
  scores: z.record(z.string(), z.number().nullable()).describe('Figures on the test images, such as miou.'),
  graph: z.strictObject({ file: z.literal(GRAPH_FILE), sha256: z.string() }),
});

const headSchema = headShape.superRefine((manifest, context) => {
  for (const { key, message } of contradictions(manifest)) context.addIssue({ code: 'custom', path: [key], message });
});

export type SegmentationHeadManifest = z.infer<typeof headSchema>;

/** A head that was read from its folder. */
export interface SegmentationHeadFolder {
  readonly dir: string;
  readonly manifest: SegmentationHeadManifest;
  readonly graph: Uint8Array;
}

/** A folder that is not a head, or not one of this version or model. */
export class HeadError extends Error {
  override readonly name = 'HeadError';
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/**
 * Checks that a head can be written to a folder, before any work is done for it.
 * @param flag that names it in errors, such as `--out-head`
 * @throws HeadError if something stands at the path; OutputError if it cannot be written.
 */
export async function requireFreeHeadPlace(flag: string, dir: string): Promise<void> {
  if ((await stat(dir).catch(() => undefined)) !== undefined) {
    throw new HeadError(`${flag}: ${dir} exists already; choose another folder, or remove it`);
  }
  await checkOutputFolder(flag, dir);
}

/**
 * Writes a head: both files to a temporary folder beside the target, which is synced and renamed.
 * @param flag see `requireFreeHeadPlace`
 */
export async function writeSegmentationHead(
  flag: string,
  dir: string,
  manifest: Omit<SegmentationHeadManifest, 'format' | 'formatVersion' | 'graph'>,
  graph: Uint8Array,
): Promise<void> {
  const target = resolve(dir);
  await requireFreeHeadPlace(flag, target);
  const complete = headSchema.parse({
    format: HEAD_FORMAT,
    formatVersion: HEAD_VERSION,
    ...manifest,
    graph: { file: GRAPH_FILE, sha256: sha256(graph) },
  });
  await writeOutput(flag, target, () =>
    withFolderBeside(target, async (temporary) => {
      await writeSynced(join(temporary, GRAPH_FILE), graph);
      const text = new TextEncoder().encode(`${JSON.stringify(complete, null, 2)}\n`);
      await writeSynced(join(temporary, MANIFEST_FILE), text);
      await syncPath(temporary);
      await rename(temporary, target);
      await syncPath(dirname(target));
    }),
  );
}

/**
 * Reads a head.
 * @throws HeadError that names the file and what is wrong with it.
 */
export async function openSegmentationHead(dir: string): Promise<SegmentationHeadFolder> {
  const path = join(dir, MANIFEST_FILE);
  const read = (file: string) =>
    readFile(file).catch((cause: unknown) => {
      throw new HeadError(
        `${file} cannot be read: ${fileProblem(cause)}; a head is a folder that vicregl evaluate segmentation --out-head wrote`,
        { cause },
      );
    });
  const text = (await read(path)).toString();
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new HeadError(`${path} is not JSON: ${(cause as Error).message}`, { cause });
  }
  const { format, formatVersion } = (json ?? {}) as Record<string, unknown>;
  if (format !== HEAD_FORMAT) {
    throw new HeadError(`${path} is not the manifest of a segmentation head: it has no "format": "${HEAD_FORMAT}"`);
  }
  if (formatVersion !== HEAD_VERSION) {
    throw new HeadError(
      `${path} has the format version ${JSON.stringify(formatVersion)}, and this version of vicregl reads ${HEAD_VERSION}; train the head again, or use the version that wrote it`,
    );
  }
  const parsed = headSchema.safeParse(json);
  if (!parsed.success) {
    const problems = parsed.error.issues.map(({ path: keys, message }) => `${keys.join('.')}: ${message}`);
    throw new HeadError(`${path} is damaged; train the head again:\n  ${problems.join('\n  ')}`);
  }
  const graph = await read(join(dir, GRAPH_FILE));
  if (sha256(graph) !== parsed.data.graph.sha256) {
    throw new HeadError(
      `${join(dir, GRAPH_FILE)} is damaged: its sha256 is not that of the manifest; train the head again`,
    );
  }
  return { dir, manifest: parsed.data, graph };
}

/**
 * Checks that a head was trained on the features of a model.
 * @param model name, version and digest of the model that is to be used
 * @throws HeadError that names both, and the way out.
 */
export function requireHeadModel(
  { dir, manifest }: Pick<SegmentationHeadFolder, 'dir' | 'manifest'>,
  model: SegmentationHeadManifest['model'],
): void {
  const own = manifest.model;
  if (own.digest === model.digest) return;
  throw new HeadError(
    `the head ${dir} was trained on the features of ${own.name} ${own.version} (digest ${own.digest.slice(0, 12)}), and the model is ` +
      `${model.name} ${model.version} (digest ${model.digest.slice(0, 12)}): its logits would mean nothing. ` +
      `Give the folder of ${own.name} ${own.version} with --model, or train a head on this model with vicregl evaluate segmentation --out-head`,
  );
}

/**
 * Checks that a model computes the maps that a head reads. It does if the head's manifest was not changed by hand.
 * @param model its outputs by name, and the stride of its inputs
 * @throws HeadError that names the first difference.
 */
export function requireHeadMaps(
  { dir, manifest }: Pick<SegmentationHeadFolder, 'dir' | 'manifest'>,
  model: {
    readonly stride: number;
    readonly outputs: ReadonlyMap<string, { readonly channels: number; readonly stride?: number }>;
  },
): void {
  const problem = mapProblem(manifest, model);
  if (problem === undefined) return;
  throw new HeadError(`the manifest of ${dir} does not fit the model: ${problem}; train the head again`);
}

function mapProblem(
  { maps, inputStride }: SegmentationHeadManifest,
  { stride, outputs }: Parameters<typeof requireHeadMaps>[1],
): string | undefined {
  if (inputStride !== stride) return `it has inputs of stride ${inputStride}, and the model of ${stride}`;
  for (const { name, ...map } of maps) {
    const output = outputs.get(name);
    if (output === undefined) return `it reads "${name}", and the model has ${[...outputs.keys()].join(', ')}`;
    if (output.channels !== map.channels || output.stride !== map.stride) {
      return `its "${name}" has ${map.channels} channels and stride ${map.stride}, and the model's ${output.channels} and ${output.stride ?? 'none'}`;
    }
  }
  return undefined;
}
