import { foldConstants } from '../../onnx/foldConstants.js';
import type { Graph } from '../../onnx/graph.js';
import { type CalibrationInputs, observe } from './calibrate.js';
import { foldAffineAfter, foldAffineBefore } from './foldAffine.js';
import { insertIntegers } from './insertIntegers.js';
import { activationScale } from './integers.js';
import { linearOnRows } from './linearOnRows.js';
import { placeInConvolutions, placeInGemms } from './placement.js';
import { chooseRange, type RangeMethod } from './ranges.js';

export interface QuantizeOptions {
  /** Which operators compute with integers: the matrix products of a ConvNeXt and of heads, or a ResNet's convolutions. */
  readonly operators: 'gemm' | 'conv';
  readonly ranges: RangeMethod;
}

/**
 * An inference graph with 8-bit weights and activations in QDQ form (Jacob et al., arXiv 1712.05877): int8 weights with
 * one scale for each output channel, uint8 activations with one scale and zero point each, from calibration inputs.
 */
export async function quantizeGraph(
  source: Graph,
  inputs: CalibrationInputs,
  { operators, ranges }: QuantizeOptions,
): Promise<Graph> {
  const float = linearOnRows(foldAffineAfter(foldAffineBefore(await foldConstants(source))));
  const placement = operators === 'gemm' ? placeInGemms(float) : placeInConvolutions(float);
  const histograms = await observe(float, placement.activations, inputs);
  const scales = new Map(
    [...histograms].map(([value, histogram]) => [value, activationScale(chooseRange(histogram, ranges))]),
  );
  return insertIntegers(float, placement, (value) => scales.get(value)!);
}
