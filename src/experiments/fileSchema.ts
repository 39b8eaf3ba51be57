import { z } from 'zod';

/** One file of an experiment (docs/experiments.md). Everything is optional here, since one file may extend others. */

/** Names become folders and files. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._+=-]{0,99}$/;
const NAME_TEXT =
  'a name has letters, digits, ".", "_", "+", "=" and "-", begins with a letter or digit, and has at most 100';

/** Names of files in the folder of a cell that evaluations may not have. */
const TAKEN = new Set(['cell', 'environment', 'package']);

const settings = z.record(z.string(), z.unknown());

export const experimentFileSchema = z
  .strictObject({
    name: z.string().optional().describe('Name of the experiment.'),
    extends: z
      .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
      .optional()
      .describe('One or several files on which this one builds, relative to it; later ones win.'),
    recipe: z
      .string()
      .min(1)
      .optional()
      .describe(
        'Base configuration: name of a bundled recipe, or path of a file (.yaml, .yml, .json) relative to this one.',
      ),
    set: settings.optional().describe('Keys of the training configuration for all cells.'),
    variants: z.record(z.string(), settings.nullable()).optional().describe('Keys of each variant, by its name.'),
    matrix: z
      .record(z.string(), z.union([z.array(z.json()).min(1), z.record(z.string(), settings)]).nullable())
      .optional()
      .describe('Axes that are crossed: values of a key, or named groups of keys.'),
    seeds: z.array(z.int().min(0)).min(1).optional().describe('Seeds with which each variant is trained.'),
    evaluations: z
      .record(z.string(), z.looseObject({ kind: z.string().min(1).optional() }).nullable())
      .optional()
      .describe('Evaluations of each cell by name: kind (default: the name), and flags of that command.'),
    baseline: z
      .union([z.string().min(1), z.record(z.string(), z.json())])
      .optional()
      .describe('The variant with which others are compared; with a matrix, the values of some axes.'),
    collapsed: z
      .enum(['fail', 'evaluate'])
      .optional()
      .describe('Whether a collapsed run fails its cell (default) or is evaluated as the others.'),
  })
  .superRefine((file, context) => {
    const problem = (path: (string | number)[], message: string) => context.addIssue({ code: 'custom', path, message });
    const checkName = (path: string[], name: string) => {
      if (!NAME.test(name)) problem([...path, name], `${JSON.stringify(name)} cannot be a name: ${NAME_TEXT}`);
    };
    if (file.name !== undefined && !NAME.test(file.name)) {
      problem(['name'], `${JSON.stringify(file.name)} cannot be a name: ${NAME_TEXT}`);
    }
    for (const name of Object.keys(file.variants ?? {})) checkName(['variants'], name);
    for (const [axis, values] of Object.entries(file.matrix ?? {})) {
      if (values !== null && !Array.isArray(values)) {
        for (const name of Object.keys(values)) checkName(['matrix', axis], name);
      }
    }
    for (const name of Object.keys(file.evaluations ?? {})) {
      checkName(['evaluations'], name);
      if (TAKEN.has(name))
        problem(['evaluations', name], `"${name}" is the name of another file of a cell; choose another`);
    }
    file.seeds?.forEach((seed, i) => {
      if (file.seeds!.indexOf(seed) < i) problem(['seeds', i], `${seed} is there twice`);
    });
  });

export type ExperimentFile = z.infer<typeof experimentFileSchema>;
export type SettingsGroup = z.infer<typeof settings>;
