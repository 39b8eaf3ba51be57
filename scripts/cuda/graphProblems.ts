import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { writtenNodes } from '../../src/onnx/encode.js';
import type { Graph } from '../../src/onnx/graph.js';
import { type Kernel, kernelProblem, readKernels, readVersions } from './kernelTable.js';

/** The tables of CUDA's kernels and of ONNX's operators. */
export interface KernelTables {
  readonly kernels: readonly Kernel[];
  readonly versions: ReadonlyMap<string, readonly number[]>;
}

/** Reads the committed tables. */
export async function readKernelTables(): Promise<KernelTables> {
  const read = (name: string) =>
    readFile(fileURLToPath(new URL(`../../../scripts/cuda/${name}`, import.meta.url)), 'utf8');
  return {
    kernels: readKernels(await read('cudaKernels.tsv')),
    versions: readVersions(await read('operatorVersions.tsv')),
  };
}

/**
 * The nodes of a graph, and of the graphs inside it, that CUDA has no kernel for, as lines that say why. They are the nodes
 * as they are written: what ONNX Runtime's own optimizations make of them (fused operators, other layouts) is not looked
 * at. It fuses for the CUDA provider only what that has kernels for.
 */
export function graphProblems(graph: Graph, tables: KernelTables, opset = graph.opset): string[] {
  return writtenNodes(graph).flatMap((node) => {
    const { operator, name, attributes } = node;
    const query = {
      operator,
      inputs: node.inputs.map((input) => input?.dtype),
      outputs: node.outputs.map(({ dtype }) => dtype),
      attributes,
    };
    const own = kernelProblem(tables.kernels, tables.versions, query, opset);
    // The bodies of control flow are of the outer graph's operator set.
    const inner = Object.values(attributes).flatMap((attribute) =>
      typeof attribute === 'object' && 'body' in attribute ? graphProblems(attribute.body.graph, tables, opset) : [],
    );
    return [...(own === undefined ? [] : [`${name}: ${own}`]), ...inner];
  });
}
