"""Computes reference maps of torch.nn.functional.interpolate (bilinear, align_corners=False) in float64.

Writes test/golden/upsample.safetensors: for each case a random map `map.N` [rows, columns, C] and the enlarged map
`enlarged.N`; the setting `by` has the factor, or rows and columns. Run it from the root of the repository (Debian: python3-torch):

    /usr/bin/python3 scripts/golden/upsample.py
"""

import json
import struct

import torch
import torch.nn.functional as F

OUTPUT = 'test/golden/upsample.safetensors'
CASES = [
    ((3, 4, 5), 2),
    ((7, 7, 3), 3),
    ((1, 1, 2), 4),
    ((2, 5, 1), 1),
    ((5, 2, 3), (7, 9)),
    ((2, 3, 4), (2, 11)),
    ((4, 6, 2), (64, 61)),
]


def write(path, settings, tensors):
    header = {'__metadata__': {key: json.dumps(value) for key, value in settings.items()}}
    blocks, offset = [], 0
    for name, value in tensors.items():
        block = value.float().contiguous().numpy().tobytes()
        header[name] = {'dtype': 'F32', 'shape': list(value.shape), 'data_offsets': [offset, offset + len(block)]}
        blocks.append(block)
        offset += len(block)
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as file:
        file.write(struct.pack('<Q', len(text)) + text + b''.join(blocks))


def main():
    torch.manual_seed(0)
    tensors = {}
    for i, (shape, by) in enumerate(CASES):
        cells = torch.randn(shape)
        how = {'scale_factor': by} if isinstance(by, int) else {'size': by}
        channels_first = cells.double().permute(2, 0, 1)[None]
        enlarged = F.interpolate(channels_first, mode='bilinear', align_corners=False, **how)
        tensors[f'map.{i}'] = cells
        tensors[f'enlarged.{i}'] = enlarged[0].permute(1, 2, 0)
    write(OUTPUT, {'by': [by for _, by in CASES]}, tensors)


main()
