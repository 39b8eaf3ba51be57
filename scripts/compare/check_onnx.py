"""Checks the graphs of model folders with Python's onnx package: the checker, shape inference and the operator set.

    python3 scripts/compare/check_onnx.py MODEL_FOLDER...

Every graph must pass onnx.checker and strict shape inference, use the default domain alone, opset 17 and IR 8, and infer
outputs of the types and ranks that it declares. Nothing is written. Needs onnx 1.12 or later (Debian: python3-onnx). Exits 1 on the first graph that fails.
"""

import glob
import os
import sys

import onnx
from onnx import shape_inference

OPSET = 17
IR_VERSION = 8


def check(path):
    # Not full_check, which writes the inferred shapes into the file; the inference below is the rest of it.
    onnx.checker.check_model(path)
    model = onnx.load(path, load_external_data=False)
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    assert opsets == {"": OPSET}, f"{path}: opsets {opsets}, expected {OPSET} alone"
    assert model.ir_version == IR_VERSION, f"{path}: IR {model.ir_version}, expected {IR_VERSION}"
    declared = {output.name: output.type.tensor_type for output in model.graph.output}
    inferred = shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    for output in inferred.graph.output:
        expected, found = declared[output.name], output.type.tensor_type
        assert expected.elem_type == found.elem_type, f"{path}: {output.name} is of another type than declared"
        assert len(expected.shape.dim) == len(found.shape.dim), f"{path}: {output.name} is of another rank than declared"
    operators = sorted({node.op_type for node in model.graph.node})
    print(f"{path}: {len(model.graph.node)} nodes, opset {OPSET}, IR {IR_VERSION}: {', '.join(operators)}")


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for folder in sys.argv[1:]:
        graphs = sorted(glob.glob(os.path.join(folder, "*.onnx")))
        if not graphs:
            sys.exit(f"{folder} holds no .onnx file")
        for path in graphs:
            try:
                check(path)
            except Exception as error:  # of onnx.checker, of protobuf, or an assertion: one line each
                sys.exit(f"{path}: {error}")


main()
