import onnxProto from 'onnx-proto';

const { onnx } = onnxProto;
type Graph = onnxProto.onnx.IGraphProto;
type TensorProto = onnxProto.onnx.ITensorProto;

function* tensorsOf(graph: Graph): Generator<TensorProto> {
  yield* graph.initializer ?? [];
  for (const { attribute } of graph.node ?? []) {
    for (const { t, tensors, g, graphs } of attribute ?? []) {
      if (t) yield t;
      yield* tensors ?? [];
      for (const inner of [...(g ? [g] : []), ...(graphs ?? [])]) yield* tensorsOf(inner);
    }
  }
}

/** Names of the files in its folder to which a model refers for its tensors. @param model a ModelProto's bytes */
export function externalFiles(model: Uint8Array): Set<string> {
  const { graph } = onnx.ModelProto.decode(model);
  const files = new Set<string>();
  for (const { dataLocation, externalData } of graph ? tensorsOf(graph as Graph) : []) {
    if (dataLocation !== onnx.TensorProto.DataLocation.EXTERNAL) continue;
    files.add(externalData?.find(({ key }) => key === 'location')?.value ?? '');
  }
  return files;
}
