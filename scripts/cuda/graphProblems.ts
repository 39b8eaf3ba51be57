import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { writtenNodes } from '../../src/onnx/encode.js';
import type { Graph } from '../../src/onnx/graph.js';
import { type Kernel, kernelProblem, readKernels, readVersions } from './kernelTable.js';

/** Kernels of the CUDA provider, and versions of the ONNX operators. */
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
 * One line, with the reason, for each node that CUDA has no kernel for, in a graph and its subgraphs. It checks the nodes of
 * the encoded file, before ONNX Runtime's optimizations (fused operators, other layouts). ONNX Runtime fuses nodes for the
 * CUDA provider only where the provider has a kernel for the result.
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
    // Subgraphs of control flow use the operator set of the outer graph.
    const inner = Object.values(attributes).flatMap((attribute) =>
      typeof attribute === 'object' && 'body' in attribute ? graphProblems(attribute.body.graph, tables, opset) : [],
    );
    return [...(own === undefined ? [] : [`${name}: ${own}`]), ...inner];
  });
}
