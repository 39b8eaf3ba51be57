"""The loss of VICRegL on several processes of torch.distributed (gloo), for scripts/proofs/gatheredLoss.ts.

Each process has its rows of the inputs of a golden file. Embeddings are gathered with their gradient, variance and covariance are taken over
all rows, and the means of losses and gradients over the processes are the result, as DistributedDataParallel takes them.

    python3 scripts/proofs/gathered_loss.py FILE PROCESSES > RESULT.json
"""

import json
import os
import socket
import sys

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'golden'))
from simclr import local_loss, read, view_pairs  # noqa: E402


class Gather(torch.autograd.Function):
    """Rows of all processes. The gradient of a row is the sum of those that all processes have for it."""

    @staticmethod
    def forward(_, rows):
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(_, gradient):
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        return gradient.chunk(dist.get_world_size())[dist.get_rank()]


def spread(x):
    """Variance and covariance of vectors [N, D], or [N, G, D] with statistics of each position."""
    x = x - x.mean(0)
    std = (x.var(0) + 1e-4).sqrt()
    by_position = x[None] if x.dim() == 2 else x.permute(1, 0, 2)
    n, d = by_position.shape[1:]
    squares = (by_position.mT @ by_position / (n - 1)).square()
    off_diagonal = squares.sum((1, 2)) - squares.diagonal(dim1=1, dim2=2).sum(1)
    return F.relu(1 - std).mean(), (off_diagonal / d).mean()


def criterion(x, y, coefficients):
    parts = [F.mse_loss(x, y)]
    sets = [spread(Gather.apply(one)) for one in (x, y)]
    parts += [torch.stack(both).mean() for both in zip(*sets)]
    return sum(weight * part for weight, part in zip(coefficients, parts))


def loss_of(settings, embeddings, maps, locations):
    coefficients = [settings[key] for key in ('inv_coeff', 'var_coeff', 'cov_coeff')]
    invariance = torch.stack([F.mse_loss(embeddings[i], embeddings[j]) for i, j in view_pairs(len(embeddings))]).mean()
    variance, covariance = [torch.stack(all).mean() for all in zip(*(spread(Gather.apply(one)) for one in embeddings))]
    overall = sum(weight * part for weight, part in zip(coefficients, (invariance, variance, covariance)))
    local = local_loss(lambda x, y: criterion(x, y, coefficients), settings, maps, locations)
    return settings['alpha'] * overall + (1 - settings['alpha']) * local


def process(rank, size, port, path):
    dist.init_process_group('gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=size)
    settings, tensors = read(path)
    views = settings['large_views'] + settings['small_views']
    own = {name: value.chunk(size)[rank] for name, value in tensors.items() if '.' in name and 'match' not in name}
    embeddings = [own[f'embedding.{v}'].requires_grad_() for v in range(views)]
    maps = [own[f'maps_embedding.{v}'].requires_grad_() for v in range(views)]
    loss = loss_of(settings, embeddings, maps, [own[f'locations.{v}'] for v in range(views)])
    loss.backward()
    mean = loss.detach() / size
    dist.all_reduce(mean)
    gradients = {}
    for name, values in (('embedding_grad', embeddings), ('maps_embedding_grad', maps)):
        for v, value in enumerate(values):
            parts = [torch.empty_like(value) for _ in range(size)]
            dist.all_gather(parts, value.grad / size)
            gradients[f'{name}.{v}'] = torch.cat(parts).flatten().tolist()
    if rank == 0:
        print(json.dumps({'loss': mean.item(), 'gradients': gradients}))
    dist.destroy_process_group()


if __name__ == '__main__':
    file, count = sys.argv[1], int(sys.argv[2])
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    mp.spawn(process, args=(count, port, file), nprocs=count)
