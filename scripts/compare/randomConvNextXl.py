"""Writes a checkpoint of ConvNeXt-XL (350 M parameters, 1.4 GB) with random weights and the authors' parameter names.

    /usr/bin/python3 scripts/compare/randomConvNextXl.py convnext_xlarge_alpha0.75.pth
    /usr/bin/time -v npx vicregl import convnext_xlarge_alpha0.75.pth --out OUT
"""

import sys

import torch

torch.manual_seed(0)
DEPTHS, WIDTHS = [3, 3, 27, 3], [256, 512, 1024, 2048]
state = {}


def layer(name, *shape):
    state[f"{name}.weight"] = torch.randn(shape) * 0.02
    state[f"{name}.bias"] = torch.zeros(shape[0])


def norm(name, width):
    state[f"{name}.weight"] = torch.ones(width)
    state[f"{name}.bias"] = torch.zeros(width)


for stage, (depth, width) in enumerate(zip(DEPTHS, WIDTHS)):
    down = f"downsample_layers.{stage}"
    if stage == 0:
        layer(f"{down}.0", width, 3, 4, 4)
        norm(f"{down}.1", width)
    else:
        norm(f"{down}.0", WIDTHS[stage - 1])
        layer(f"{down}.1", width, WIDTHS[stage - 1], 2, 2)
    for index in range(depth):
        block = f"stages.{stage}.{index}"
        layer(f"{block}.dwconv", width, 1, 7, 7)
        norm(f"{block}.norm", width)
        layer(f"{block}.pwconv1", 4 * width, width)
        layer(f"{block}.pwconv2", width, 4 * width)
norm("norm", WIDTHS[-1])
torch.save(state, sys.argv[1])
