"""Computes with PyTorch and scikit-learn what segmentation.ts computed, and prints the differences as a Markdown table.

Exits with 1 where a difference is over its limit.
"""
import json
import struct
import sys

import numpy as np
import sklearn
import torch
from sklearn.metrics import jaccard_score
from torch import nn
from torch.nn.functional import cross_entropy, interpolate

DTYPES = {"F32": np.float32, "F64": np.float64, "U8": np.uint8}


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    found = {}
    for name, about in header.items():
        if name == "__metadata__":
            continue
        start, end = (8 + length + offset for offset in about["data_offsets"])
        found[name] = np.frombuffer(data[start:end], DTYPES[about["dtype"]]).reshape(about["shape"])
    return found


numbers = read(sys.argv[1])
torch.set_num_threads(1)
rows = []
failed = False


def row(what, error, limit):
    global failed
    failed = failed or not error <= limit
    rows.append(f"| {what} | {error:.1e} | {limit:.0e} | {'equal' if error <= limit else 'DIFFERENT'} |")


def difference(actual, expected):
    return float(np.linalg.norm(np.asarray(actual, np.float64) - expected) / max(np.linalg.norm(expected), 1e-12))


def channels_first(value):
    return torch.tensor(value).permute(0, 3, 1, 2)


def upsample(value, size):
    return interpolate(value, size=size, mode="bilinear", align_corners=False)


for name in sorted({key.split("/")[1] for key in numbers if key.startswith("interpolation/")}):
    x, y = numbers[f"interpolation/{name}/x"], numbers[f"interpolation/{name}/y"]
    expected = upsample(channels_first(x), y.shape[1:3]).permute(0, 2, 3, 1).numpy()
    row(f"interpolation {name.replace('-', ' to ')} against `interpolate` (largest difference)", float(np.abs(y - expected).max()), 1e-5)


class Head(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, classes, 1)

    def forward(self, maps, size, dropout=None):
        joined = torch.cat([upsample(value, maps[0].shape[2:]) for value in maps], 1)
        normal = self.bn(joined)
        if dropout is not None:
            normal = normal * dropout[:, :, None, None]
        return upsample(self.conv(normal), size)


def parameter(value, name):
    return value.reshape(*value.shape, 1, 1) if name == "conv.weight" else value


def train(name, maps, optimizer_of):
    start = {key.split("/")[2]: value for key, value in numbers.items() if key.startswith(f"{name}/start/")}
    classes, channels = start["conv.weight"].shape
    head = Head(channels, classes)
    head.load_state_dict({key: torch.tensor(parameter(value, key)) for key, value in start.items()}, strict=False)
    optimizer = optimizer_of(head)
    losses, weights, ignored = [], [], None
    steps = len({key.split("/")[1] for key in numbers if key.startswith(f"{name}/")} - {"start", "test"})
    head.train()
    for step in range(steps):
        at = f"{name}/{step}"
        features = [channels_first(numbers[f"{at}/{one}"]) for one in maps]
        labels = torch.tensor(numbers[f"{at}/labels"].astype(np.int64))
        dropout = numbers.get(f"{at}/dropout")
        logits = head(features, labels.shape[1:], None if dropout is None else torch.tensor(dropout))
        loss = cross_entropy(logits, labels, ignore_index=255, reduction="sum") / max(int((labels != 255).sum()), 1)
        for group in optimizer.param_groups:
            group["lr"] = float(numbers[f"{at}/rate"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(abs(float(numbers[f"{at}/loss"]) - loss.item()))
        if (labels != 255).sum() == 0:
            ignored = float(numbers[f"{at}/loss"])
        state = head.state_dict()
        weights.append(
            max(
                difference(parameter(value, key.split("/")[3]), state[key.split("/")[3]].numpy())
                for key, value in numbers.items()
                if key.startswith(f"{at}/after/")
            )
        )
    row(f"{name}: loss of {steps} steps (largest difference)", max(losses), 1e-4)
    row(f"{name}: parameters and running statistics after each of {steps} steps (largest relative difference)", max(weights), 1e-4)
    row(f"{name}: loss of a batch of ignored pixels", abs(ignored), 0)
    head.eval()
    with torch.no_grad():
        pixels = numbers[f"{name}/test/pixels"]
        expected = head([channels_first(numbers[f"{name}/test/{one}"]) for one in maps], pixels.shape[2:]).numpy()
    row(f"{name}: the exported head in evaluation mode, at the pixels (relative difference)", difference(pixels, expected), 1e-4)


def adamw(head):
    # Decay of the kernel alone, as in src/optim/adamw.ts.
    matrices = [p for p in head.parameters() if p.dim() > 1]
    vectors = [p for p in head.parameters() if p.dim() == 1]
    return torch.optim.AdamW([{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0}])


train("adamw", ["stage1", "stage2", "stage3", "stage4"], adamw)
train("sgd", ["maps"], lambda head: torch.optim.SGD(head.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4))

counts = numbers["iou/truth"] != 255
truth, predicted = numbers["iou/truth"][counts], numbers["iou/predicted"][counts]
row("IoU by class against `jaccard_score` (largest difference)", float(np.abs(numbers["iou/classes"] - jaccard_score(truth, predicted, average=None)).max()), 1e-12)
row("mIoU against `jaccard_score(average='macro')`", abs(float(numbers["iou/miou"]) - jaccard_score(truth, predicted, average="macro")), 1e-12)
row("pixel accuracy against `accuracy_score`", abs(float(numbers["iou/accuracy"]) - sklearn.metrics.accuracy_score(truth, predicted)), 1e-12)

print(f"PyTorch {torch.__version__}, scikit-learn {sklearn.__version__}, NumPy {np.__version__}\n")
print("| what | difference | limit | |\n| --- | --- | --- | --- |")
print("\n".join(rows))
sys.exit(1 if failed else 0)
