"""Computes reference numbers for SimCLR-L with PyTorch in float64, independently of this repository's TypeScript.

Reads the inputs of test/golden/criterion_multicrop.safetensors and writes test/golden/simclr_multicrop.safetensors:
both losses, their weighted sum, and the gradient of every input. Run it from the root of the repository (Debian: python3-torch):

    python3 scripts/golden/simclr.py
"""

import json
import struct

import torch
import torch.nn.functional as F

INPUTS = 'test/golden/criterion_multicrop.safetensors'
OUTPUTS = 'test/golden/simclr_multicrop.safetensors'
TEMPERATURE = 0.15


def read(path):
    with open(path, 'rb') as file:
        (length,) = struct.unpack('<Q', file.read(8))
        header = json.loads(file.read(length))
        data = file.read()
    settings = {key: json.loads(value) for key, value in header.pop('__metadata__').items()}
    tensors = {}
    for name, entry in header.items():
        if entry['dtype'] == 'F32':
            start, end = entry['data_offsets']
            values = torch.frombuffer(bytearray(data[start:end]), dtype=torch.float32)
            tensors[name] = values.reshape(entry['shape']).double()
    return settings, tensors


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


def nt_xent(x, y):
    """Chen et al., algorithm 1: cross-entropy over the 2N - 1 other vectors. The class is the partner."""
    n = len(x)
    vectors = F.normalize(torch.cat([x, y]), dim=1)
    similarities = vectors @ vectors.T / TEMPERATURE
    similarities = similarities.masked_fill(torch.eye(2 * n, dtype=torch.bool), float('-inf'))
    return F.cross_entropy(similarities, torch.arange(2 * n).roll(n))


def matched(source, target, distances, gamma):
    """The `gamma` closest positions of the source and their nearest ones of the target; distances [B, P, Q]."""
    smallest, nearest = distances.min(2)
    kept = smallest.argsort(dim=1, stable=True)[:, :gamma].sort(1).values
    batch = torch.arange(len(source))[:, None]
    return source[batch, kept], target[batch, nearest[batch, kept]]


def view_pairs(views):
    """Pairs of a large view, of which there are two, and another one."""
    return [(i, j) for i in (0, 1) for j in range(views) if i != j]


def local_loss(criterion, settings, maps, locations):
    """Mean over pairs of views of the location-based and the feature-based criterion, each the mean of its two directions."""
    pairs = view_pairs(len(maps))
    local = []
    for i, j in pairs:
        for vectors in (locations, [one.detach() for one in maps]):
            both = []
            for (a, b), gamma in zip(((i, j), (j, i)), settings['num_matches']):
                kept = maps[a].shape[1] if vectors is not locations and settings['l2_all_matches'] else gamma
                both.append(criterion(*matched(maps[a], maps[b], torch.cdist(vectors[a], vectors[b]), kept)))
            local.append(sum(both) / 2)
    return torch.stack(local).sum() / len(pairs)


def nt_xent_by_position(x, y):
    return torch.stack([nt_xent(x[:, g], y[:, g]) for g in range(x.shape[1])]).mean()


def main():
    settings, tensors = read(INPUTS)
    views = settings['large_views'] + settings['small_views']
    embeddings = [tensors[f'embedding.{v}'].requires_grad_() for v in range(views)]
    maps = [tensors[f'maps_embedding.{v}'].requires_grad_() for v in range(views)]
    locations = [tensors[f'locations.{v}'] for v in range(views)]

    overall = torch.stack([nt_xent(embeddings[i], embeddings[j]) for i, j in view_pairs(views)]).mean()
    local = local_loss(nt_xent_by_position, settings, maps, locations)
    loss = settings['alpha'] * overall + (1 - settings['alpha']) * local
    loss.backward()

    numbers = {'global_contrast': overall, 'local_contrast': local, 'loss': loss}
    results = {name: value.detach().reshape(1) for name, value in numbers.items()}
    for v in range(views):
        results[f'embedding_grad.{v}'] = embeddings[v].grad
        results[f'maps_embedding_grad.{v}'] = maps[v].grad
    kept = {key: settings[key] for key in ('alpha', 'num_matches', 'l2_all_matches', 'large_views', 'small_views')}
    write(OUTPUTS, {**kept, 'temperature': TEMPERATURE}, results)
    print({name: value.item() for name, value in numbers.items()})


if __name__ == '__main__':
    main()
