import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { fileProblem } from '../files/fileProblem.js';
import { writeOutputFile } from '../files/output.js';
import { digestOf, type Experiment } from './experiment.js';
import { ExperimentError } from './experimentError.js';

/** `experiment.json` in the folder of an experiment: which cells there are, so that a report can name those that are missing. */

const FORMAT = 'vicregl-experiment';
const VERSION = 1;

const definitionSchema = z.strictObject({
  format: z.literal(FORMAT),
  formatVersion: z.literal(VERSION),
  name: z.string(),
  recipe: z.string(),
  variants: z.array(
    z.strictObject({
      name: z.string(),
      group: z.string(),
      changes: z.array(z.string()),
      coordinates: z.record(z.string(), z.string()),
      numbers: z.record(z.string(), z.number()),
      baseline: z.string().optional(),
      digest: z.string().describe('Of the settings.'),
      settings: z
        .record(z.string(), z.json())
        .optional()
        .describe('Keys of the training configuration, without defaults; absent in folders of older versions.'),
    }),
  ),
  seeds: z.array(z.int().nonnegative()),
  evaluations: z.array(z.strictObject({ name: z.string(), kind: z.string() })),
});

export type Definition = z.infer<typeof definitionSchema>;

const definitionPath = (out: string) => join(out, 'experiment.json');

/** Writes what the experiment is. */
export async function writeDefinition(out: string, experiment: Experiment): Promise<void> {
  const definition: Definition = {
    format: FORMAT,
    formatVersion: VERSION,
    name: experiment.name,
    recipe: experiment.recipe,
    variants: experiment.variants.map(({ name, group, changes, coordinates, numbers, baseline, settings }) => ({
      ...{ name, group, changes: [...changes], coordinates, numbers },
      ...(baseline !== undefined && { baseline }),
      digest: digestOf(settings),
      settings: settings as Definition['variants'][number]['settings'],
    })),
    seeds: [...experiment.seeds],
    evaluations: experiment.evaluations.map(({ name, kind }) => ({ name, kind })),
  };
  await writeOutputFile('--out', definitionPath(out), `${JSON.stringify(definition, null, 2)}\n`);
}

/** @throws ExperimentError for a folder without an experiment, or one of another version. */
export async function readDefinition(out: string): Promise<Definition> {
  const path = definitionPath(out);
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new ExperimentError(
      `${out} is not a folder of vicregl experiments run: experiment.json cannot be read: ${fileProblem(cause)}`,
      { cause },
    );
  });
  try {
    return definitionSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new ExperimentError(
      `${path} is damaged, or of another version of vicregl; vicregl experiments run writes it again`,
      { cause },
    );
  }
}
