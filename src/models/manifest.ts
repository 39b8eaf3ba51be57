import { z } from 'zod';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'a sha256 is 64 lower-case hexadecimal digits');
const fileName = z.string().regex(/^(?!\.{1,2}$)[\w.-]+$/, 'a plain file name inside the model folder');

const dimension = z.union([z.int().positive(), z.string().min(1)]);

const agreement = z.strictObject({
  mean: z.number().describe('Mean cosine.'),
  worst: z.number().describe('Smallest cosine.'),
});

/** manifest.json of a model folder: all facts about a model that serving needs, and its origin. */
export const manifestSchema = z.strictObject({
  schemaVersion: z.literal(2).describe('2; folders of version 1 are read as well.'),
  name: z.string().min(1).describe('Name that requests use.'),
  version: z.string().min(1).describe('Version of the weights.'),
  architecture: z
    .string()
    .describe(
      'Backbone name, such as convnext_atto. For sizes without one: convnext (custom where it comes from a training run), resnet_basic or resnet_bottleneck.',
    ),
  depths: z.array(z.int().positive()).describe('Blocks of each stage.'),
  widths: z.array(z.int().positive()).describe('Channels of each stage.'),
  layerScale: z.number().positive().optional().describe('Initial value of layer scale, for a ConvNeXt that has it.'),
  alpha: z
    .number()
    .min(0)
    .max(1)
    .nullable()
    .describe('Weight of the global loss in training; null where it is unknown, or the network was trained otherwise.'),
  stride: z.int().positive().max(1024).describe('Input pixels from one cell to the next.'),
  input: z
    .strictObject({ name: z.literal('images'), dtype: z.literal('uint8'), shape: z.array(dimension) })
    .describe('What the backbone takes: RGB pixels in 0..255, channels last.'),
  outputs: z
    .record(
      z.string(),
      z.strictObject({
        graph: z.enum(['backbone', 'localProjector', 'expander', 'classifier']).describe('The graph that computes it.'),
        shape: z.array(dimension).describe('Numbers, and names where a dimension is known only when the graph runs.'),
        stride: z.int().positive().optional().describe('Input pixels from one cell to the next, for maps.'),
      }),
    )
    .describe('Outputs by name, all float32. stage1, stage2, ...: maps of earlier stages, not normalised.'),
  dims: z.strictObject({
    representation: z.int().positive().describe('Channels C of representation and maps.'),
    mapsEmbedding: z.int().positive().optional().describe('Channels of the local projector.'),
    embedding: z.int().positive().optional().describe('Channels of the expander.'),
    classes: z.int().positive().optional().describe('Classes of the classifier.'),
  }),
  heads: z
    .strictObject({
      localProjector: z.array(z.int().positive()).optional().describe('Widths of the local projector.'),
      expander: z.array(z.int().positive()).optional().describe('Widths of the expander, exported or not.'),
      classifier: z.int().positive().optional().describe('Classes of the linear classifier of the representation.'),
      norm: z.enum(['layer', 'batch']).describe('Normalisation between their layers.'),
    })
    .describe('The heads that training put on the backbone.'),
  poolingOrder: z
    .enum(['norm-mean', 'mean-norm'])
    .optional()
    .describe(
      'The representation of a ConvNeXt: the mean of the normalised map (VICRegL; where absent), or the normalised mean ' +
        'of the map (classifiers of torchvision, timm and the ConvNeXt paper). maps are normalised in both.',
    ),
  preprocessing: z.strictObject({
    mean: z.array(z.number().min(0).max(1)).length(3).describe('RGB mean of inputs in 0..1; applied inside the graph.'),
    std: z.array(z.number().positive()).length(3).describe('RGB standard deviation; applied inside the graph.'),
    resize: z.int().positive().max(16_384).describe('Default shortest side in pixels.'),
    crop: z.int().positive().describe('Default centre crop in pixels.'),
    interpolation: z.literal('bicubic'),
  }),
  precision: z.enum(['float32', 'float16', 'int8']).describe('Type in which matrices and kernels are stored.'),
  compute: z
    .enum(['float32', 'float16', 'int8'])
    .describe('Arithmetic of matrix products and convolutions; norms and means are float32 always.'),
  quantization: z
    .strictObject({
      operators: z
        .enum(['gemm', 'conv'])
        .describe('What computes with integers: linear layers, or convolutions and sums.'),
      ranges: z.enum(['minmax', 'percentile']).describe('How the ranges of activations were chosen.'),
      images: z.int().positive().describe('Calibration images.'),
      fingerprint: z.string().describe('sha256 of their pixels at the size of the network input.'),
      agreement: z
        .strictObject({ images: z.int().positive(), representation: agreement, cells: agreement })
        .optional()
        .describe('Cosine to the float model on images that calibration did not see.'),
    })
    .optional()
    .describe('How an int8 model was made.'),
  check: z
    .strictObject({
      channels: z.array(z.int().nonnegative()).min(1).describe('Channels of the representation that are recorded.'),
      values: z.array(z.number()).describe('Their values for the check image (src/models/check.ts).'),
      norm: z.number().nonnegative().describe("The representation's length."),
      tolerance: z.number().positive().describe('Largest difference, as a share of the length, on another machine.'),
    })
    .optional()
    .describe('What the backbone answered for a synthetic image where the model was written (vicregl models verify).'),
  source: z
    .strictObject({ file: z.string().min(1), sha256 })
    .optional()
    .describe('The file that the weights came from.'),
  evaluation: z.record(z.string(), z.json()).optional().describe('Results of evaluations, by protocol.'),
  graphs: z.strictObject({
    backbone: fileName.describe('uint8 [B, H, W, 3] -> representation [B, C], maps [B, h, w, C].'),
    localProjector: fileName.optional().describe('maps [B, h, w, C] -> maps_embedding [B, h, w, D].'),
    expander: fileName.optional().describe('representation [B, C] -> embedding [B, D].'),
    classifier: fileName.optional().describe('representation [B, C] -> logits [B, K].'),
  }),
  weights: fileName
    .optional()
    .describe('safetensors file to which the graphs refer by offset; absent where weights stand inside the graphs.'),
  files: z
    .record(fileName, z.strictObject({ sha256, bytes: z.int().nonnegative() }))
    .describe('Checksum and size of every file of the folder but this one.'),
  license: z.string().describe('Licence of the weights; unknown where nobody has said it.'),
  training: z.record(z.string(), z.json()).describe('What the weights saw: data, recipe, steps, final losses.'),
});

export type Manifest = z.infer<typeof manifestSchema>;
