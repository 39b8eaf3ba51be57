"""Checks the ONNX graphs of model folders with Python's onnx package: checker, shape inference and operator set.

    python3 scripts/compare/check_onnx.py MODEL_FOLDER...

Every graph must pass onnx.checker and strict shape inference, and use only the default domain, opset 17 and IR 8. The
inferred outputs must have the declared types and ranks. The files are not changed. The exit code is 1 at the first graph
that fails. Needs onnx 1.12 or later (Debian: python3-onnx).
"""

import glob
import os
import sys

import onnx
from onnx import shape_inference

OPSET = 17
IR_VERSION = 8


def check(path):
    # full_check would write the inferred shapes into the file. The inference below does the same check in memory.
    onnx.checker.check_model(path)
    model = onnx.load(path, load_external_data=False)
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    assert opsets == {"": OPSET}, f"{path}: opsets {opsets}, expected only {OPSET}"
    assert model.ir_version == IR_VERSION, f"{path}: IR {model.ir_version}, expected {IR_VERSION}"
    declared = {output.name: output.type.tensor_type for output in model.graph.output}
    inferred = shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    for output in inferred.graph.output:
        expected, found = declared[output.name], output.type.tensor_type
        assert expected.elem_type == found.elem_type, f"{path}: {output.name} has another type than declared"
        assert len(expected.shape.dim) == len(found.shape.dim), f"{path}: {output.name} has another rank than declared"
    operators = sorted({node.op_type for node in model.graph.node})
    print(f"{path}: {len(model.graph.node)} nodes, opset {OPSET}, IR {IR_VERSION}: {', '.join(operators)}")


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for folder in sys.argv[1:]:
        graphs = sorted(glob.glob(os.path.join(folder, "*.onnx")))
        if not graphs:
            sys.exit(f"{folder} has no .onnx file")
        for path in graphs:
            try:
                check(path)
            except Exception as error:  # from onnx.checker, protobuf or an assertion; each prints as one line
                sys.exit(f"{path}: {error}")


main()
