"""Runs the training step of scripts/bench/againstPytorch.ts in PyTorch, with the same parameters, inputs, loss and optimizer.

    python3 scripts/bench/pytorchStep.py INPUTS.safetensors [--threads 2] [--channels-last]

It prints lines of JSON: first {"ready": seconds}. Then it runs one step for each line on stdin, and prints its seconds, the
loss before the update and the peak memory in MB. Needs only torch and numpy.
"""

import argparse
import json
import resource
import sys
import time

import numpy
import torch
from torch import nn
from torch.nn import functional as F


def read_safetensors(path):
    """Reads tensors and metadata of a safetensors file (u64 header length, JSON header, data)."""
    dtypes = {"F32": numpy.float32, "U8": numpy.uint8, "I64": numpy.int64}
    data = numpy.memmap(path, mode="r", dtype=numpy.uint8)
    length = int(data[:8].view(numpy.uint64)[0])
    header = json.loads(bytes(data[8 : 8 + length]))
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        array = numpy.frombuffer(data[start:end].tobytes(), dtypes[entry["dtype"]]).reshape(entry["shape"])
        tensors[name] = torch.from_numpy(array.copy())
    return tensors, metadata


class Residual(nn.Module):
    """Bottleneck or basic block of a ResNet, with the stride in its 3x3 convolution."""

    def __init__(self, inputs, width, outputs, stride, bottleneck):
        super().__init__()
        self.bottleneck = bottleneck
        if bottleneck:
            self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
            self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
            self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(outputs)
        else:
            self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
            self.conv2 = nn.Conv2d(width, outputs, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.bottleneck:
            y = self.bn3(self.conv3(self.relu(y)))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


class ResNet(nn.Module):
    def __init__(self, block, layers, width):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        inputs = width
        for stage, count in enumerate(layers):
            inner = width * 2**stage
            outputs = inner * (4 if block == "bottleneck" else 1)
            blocks = []
            for index in range(count):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(Residual(inputs, inner, outputs, stride, block == "bottleneck"))
                inputs = outputs
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.stages = len(layers)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x)), inplace=True), 3, 2, 1)
        for stage in range(self.stages):
            x = getattr(self, f"layer{stage + 1}")(x)
        return x.permute(0, 2, 3, 1)


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of [B, C, H, W]."""

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNextBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)

    def forward(self, x):
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        y = self.pwconv2(F.gelu(self.pwconv1(y)))
        return x + y.permute(0, 3, 1, 2)


class ConvNext(nn.Module):
    def __init__(self, depths, widths):
        super().__init__()
        layers = [nn.Sequential(nn.Conv2d(3, widths[0], 4, 4), ChannelNorm(widths[0], eps=1e-6))]
        for before, after in zip(widths, widths[1:]):
            layers.append(nn.Sequential(ChannelNorm(before, eps=1e-6), nn.Conv2d(before, after, 2, 2)))
        self.downsample_layers = nn.ModuleList(layers)
        self.stages = nn.ModuleList(
            nn.ModuleList(ConvNextBlock(width) for _ in range(depth)) for depth, width in zip(depths, widths)
        )
        self.norm = nn.LayerNorm(widths[-1], eps=1e-6)

    def forward(self, x):
        for layer, stage in zip(self.downsample_layers, self.stages):
            x = layer(x)
            for block in stage:
                x = block(x)
        return self.norm(x.permute(0, 2, 3, 1))


class CellBatchNorm(nn.BatchNorm1d):
    """BatchNorm over all vectors of [..., C]."""

    def forward(self, x):
        return super().forward(x.reshape(-1, x.shape[-1])).reshape(x.shape)


def head(inputs, widths, norm):
    layers = []
    for index, width in enumerate(widths):
        last = index == len(widths) - 1
        layers.append(nn.Linear(inputs, width, bias=not last))
        if not last:
            layers += [CellBatchNorm(width) if norm == "batch" else nn.LayerNorm(width), nn.ReLU(inplace=True)]
        inputs = width
    return nn.Sequential(*layers)


class Model(nn.Module):
    def __init__(self, config):
        super().__init__()
        backbone = config["backbone"]
        if "block" in backbone:
            self.backbone = ResNet(backbone["block"], backbone["layers"], backbone["width"])
            expansion = 4 if backbone["block"] == "bottleneck" else 1
            channels, norm = backbone["width"] * 2 ** (len(backbone["layers"]) - 1) * expansion, "batch"
        else:
            self.backbone = ConvNext(backbone["depths"], backbone["widths"])
            channels, norm = backbone["widths"][-1], "layer"
        self.projector = head(channels, config["expander"], norm)
        self.maps_projector = head(channels, config["localProjector"], norm)

    def forward(self, x):
        maps = self.backbone(x).flatten(1, 2)
        return self.projector(maps.mean(1)), self.maps_projector(maps)


def variance_covariance(x):
    """Variance and covariance terms of VICReg on [N, D], or on [N, G, D] with statistics per position g."""
    x = x - x.mean(0)
    n, d = x.shape[0], x.shape[-1]
    variance = F.relu(1 - torch.sqrt(x.square().sum(0) / (n - 1) + 1e-4)).mean()
    x = x.unsqueeze(0) if x.dim() == 2 else x.permute(1, 0, 2)
    # X^T X and X X^T have the same squared sum. Compute the smaller one, as in src/vicregl/vicregTerms.ts.
    product = x.transpose(1, 2) @ x if d <= n else x @ x.transpose(1, 2)
    diagonal = x.square().sum(1).square().sum()
    covariance = (product.square().sum() - diagonal) / (n - 1) ** 2 / d / x.shape[0]
    return variance, covariance


def criterion(x, y, weights):
    (variance_x, covariance_x), (variance_y, covariance_y) = variance_covariance(x), variance_covariance(y)
    return (
        weights["invariance"] * F.mse_loss(x, y)
        + weights["variance"] * (variance_x + variance_y) / 2
        + weights["covariance"] * (covariance_x + covariance_y) / 2
    )


def cells(maps, index):
    return maps.gather(1, index.unsqueeze(-1).expand(-1, -1, maps.shape[-1]))


def direction(x, y, distances, gamma, weights):
    """Criterion on the pairs of source cells and their nearest target cells. Only the `gamma` closest pairs are used."""
    nearest, targets = distances.min(2)
    if gamma is not None and gamma < x.shape[1]:
        sources = nearest.topk(gamma, largest=False).indices.sort().values
        return criterion(cells(x, sources), cells(y, targets.gather(1, sources)), weights)
    return criterion(x, cells(y, targets), weights)


def vicregl(outputs, locations, config):
    """The loss of two views. Both orders of the views have the same feature term, so it is computed once."""
    (z0, m0), (z1, m1) = outputs
    weights = config["weights"]
    total = config["alpha"] * criterion(z0, z1, weights)
    with torch.no_grad():
        location_distances = torch.cdist(locations[0], locations[1])
        feature_distances = torch.cdist(m0, m1)
    back = feature_distances.transpose(1, 2)
    feature = (direction(m0, m1, feature_distances, None, weights) + direction(m1, m0, back, None, weights)) / 2
    by_location = 0
    from_pivot, from_other = config["numMatches"]
    for x, y, distances in [(m0, m1, location_distances), (m1, m0, location_distances.transpose(1, 2))]:
        back = distances.transpose(1, 2)
        by_location += (direction(x, y, distances, from_pivot, weights) + direction(y, x, back, from_other, weights)) / 4
    return total + (1 - config["alpha"]) * (by_location + feature)


class Lars(torch.optim.Optimizer):
    def __init__(self, parameters, lr, eta, momentum, weight_decay):
        super().__init__(parameters, dict(lr=lr, eta=eta, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                update = p.grad
                if p.dim() > 1:
                    update = update.add(p, alpha=group["weight_decay"])
                    parameter_norm, update_norm = p.norm(), update.norm()
                    if parameter_norm > 0 and update_norm > 0:
                        update = update.mul_(group["eta"] * parameter_norm / update_norm)
                velocity = self.state[p].setdefault("momentum", torch.zeros_like(p))
                velocity.mul_(group["momentum"]).add_(update)
                p.sub_(velocity, alpha=group["lr"])


def optimizer_of(model, config):
    settings = dict(config["optimizer"])
    kind, lr = settings.pop("kind"), settings.pop("learningRate")
    decay = settings.pop("weightDecay")
    if kind == "lars":
        return Lars(model.parameters(), lr, settings["eta"], settings["momentum"], decay)
    groups = [
        {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": decay},
        {"params": [p for p in model.parameters() if p.dim() <= 1], "weight_decay": 0.0},
    ]
    betas = (settings["beta1"], settings["beta2"])
    return torch.optim.AdamW(groups, lr=lr, betas=betas, eps=settings["epsilon"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("inputs")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--full-float32", action="store_true", help="no TF32 on a GPU")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    # ONNX Runtime's CUDA provider multiplies in TF32 by default.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = not arguments.full_float32
    torch.backends.cudnn.benchmark = True
    start = time.perf_counter()
    tensors, metadata = read_safetensors(arguments.inputs)
    config = json.loads(metadata["case"])
    model = Model(config)
    names = set(model.state_dict())
    missing = [name for name in names if name not in tensors and not name.endswith("num_batches_tracked")]
    if missing:
        sys.exit(f"the inputs lack {missing[0]} and {len(missing) - 1} more")
    model.load_state_dict({name: value for name, value in tensors.items() if name in names}, strict=False)
    layout = torch.channels_last if arguments.channels_last else torch.contiguous_format
    model = model.to(device, memory_format=layout).train()
    optimizer = optimizer_of(model, config)
    mean, std = (torch.tensor(x, device=device) * 255 for x in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    half = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[config.get("precision", "fp32")]
    if half is torch.float16 and device.type == "cpu":
        sys.exit("PyTorch trains in fp16 on a GPU only")
    scaler = torch.cuda.amp.GradScaler(enabled=half is torch.float16)
    locations = [tensors[f"locations.{view}"].to(device) for view in range(2)]
    print(json.dumps({"ready": time.perf_counter() - start, "version": torch.__version__}), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        outputs = []
        for view in range(2):
            pixels = ((tensors[f"view.{view}"].to(device).float() - mean) / std).permute(0, 3, 1, 2).contiguous(memory_format=layout)
            with torch.autocast(device.type, half or torch.bfloat16, enabled=half is not None):
                embedding, maps = model(pixels)
            outputs.append((embedding.float(), maps.float()))
        loss = vicregl(outputs, locations, config)
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "loss": loss.item(), "peak_memory_mb": round(peak)}), flush=True)


if __name__ == "__main__":
    main()
