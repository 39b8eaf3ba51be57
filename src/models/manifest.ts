import { z } from 'zod';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'a sha256 is 64 lower-case hexadecimal digits');
const fileName = z.string().regex(/^[\w.-]+$/, 'a plain file name inside the model folder');

/** manifest.json of a model folder: all that serving needs to know of a model, and where it came from. */
export const manifestSchema = z.strictObject({
  schemaVersion: z.literal(1),
  name: z.string().min(1).describe('Name that requests use.'),
  version: z.string().min(1).describe('Version of the weights.'),
  architecture: z.string().describe('Backbone name, such as convnext_atto.'),
  depths: z.array(z.int().positive()).describe('Blocks of each stage.'),
  widths: z.array(z.int().positive()).describe('Channels of each stage.'),
  layerScale: z.number().positive().optional().describe('Initial value of layer scale, for a ConvNeXt that has it.'),
  alpha: z.number().min(0).max(1).describe('Weight of the global loss in training.'),
  stride: z.int().positive().describe('Input pixels from one cell to the next.'),
  dims: z.strictObject({
    representation: z.int().positive().describe('Channels C of representation and maps.'),
    mapsEmbedding: z.int().positive().optional().describe('Channels of the local projector.'),
    embedding: z.int().positive().optional().describe('Channels of the expander.'),
  }),
  heads: z
    .strictObject({
      localProjector: z.array(z.int().positive()).optional().describe('Widths of the local projector.'),
      expander: z.array(z.int().positive()).optional().describe('Widths of the expander, exported or not.'),
      norm: z.enum(['layer', 'batch']).describe('Normalisation between their layers.'),
    })
    .describe('The heads that training put on the backbone.'),
  preprocessing: z.strictObject({
    mean: z.array(z.number()).length(3).describe('RGB mean of inputs in 0..1; applied inside the graph.'),
    std: z.array(z.number()).length(3).describe('RGB standard deviation; applied inside the graph.'),
    resize: z.int().positive().describe('Default shortest side in pixels.'),
    crop: z.int().positive().describe('Default centre crop in pixels.'),
    interpolation: z.literal('bicubic'),
  }),
  precision: z.enum(['float32', 'float16']).describe('Type in which weights are stored.'),
  graphs: z.strictObject({
    backbone: fileName.describe('uint8 [B, H, W, 3] -> representation [B, C], maps [B, h, w, C].'),
    localProjector: fileName.optional().describe('maps [B, h, w, C] -> maps_embedding [B, h, w, D].'),
    expander: fileName.optional().describe('representation [B, C] -> embedding [B, D].'),
  }),
  files: z
    .record(fileName, z.strictObject({ sha256, bytes: z.int().nonnegative() }))
    .describe('Checksum and size of every file of the folder but this one.'),
  license: z.string().describe('Licence of the weights.'),
  training: z.record(z.string(), z.json()).describe('What the weights saw: data, recipe, steps, final losses.'),
});

export type Manifest = z.infer<typeof manifestSchema>;
