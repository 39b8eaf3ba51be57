"""Writes random ResNet-50 and ConvNeXt-small checkpoints, and their outputs in PyTorch for a photograph.

    /usr/bin/python3 scripts/compare/torchNetworks.py OUT    (Debian: apt-get install python3-torch python3-pil)

Then run: node dist/scripts/compare/importedNetworks.js OUT. Parameters have the names of the authors' checkpoints. The
modules are written here from the papers (arXiv 1512.03385, 2201.03545). If torchvision is installed (Debian:
python3-torchvision), its ResNet-18 and ConvNeXt-tiny are included too, with their classifiers.
"""

import json
import pathlib
import sys

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

OUT = pathlib.Path(sys.argv[1])
OUT.mkdir(parents=True, exist_ok=True)
torch.manual_seed(0)


class Bottleneck(nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = None
        if stride != 1 or inputs != 4 * width:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)
            )

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet50(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs = 64
        for stage, blocks in enumerate([3, 4, 6, 3]):
            width = 64 * 2**stage
            layers = []
            for index in range(blocks):
                layers.append(Bottleneck(inputs, width, 2 if stage > 0 and index == 0 else 1))
                inputs = 4 * width
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.permute(0, 2, 3, 1)


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of [B, C, H, W]."""

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pwconv1 = nn.Linear(width, 4 * width)
        self.pwconv2 = nn.Linear(4 * width, width)

    def forward(self, x):
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        return x + self.pwconv2(F.gelu(self.pwconv1(y))).permute(0, 3, 1, 2)


class ConvNeXtSmall(nn.Module):
    def __init__(self):
        super().__init__()
        widths = [96, 192, 384, 768]
        self.downsample_layers = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(3, 96, 4, 4), ChannelNorm(96, eps=1e-6))]
            + [nn.Sequential(ChannelNorm(a, eps=1e-6), nn.Conv2d(a, b, 2, 2)) for a, b in zip(widths, widths[1:])]
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*[Block(w) for _ in range(n)]) for n, w in zip([3, 3, 27, 3], widths)
        )
        self.norm = nn.LayerNorm(768, eps=1e-6)

    def forward(self, x):
        for downsample, stage in zip(self.downsample_layers, self.stages):
            x = stage(downsample(x))
        return self.norm(x.permute(0, 2, 3, 1))


photo = Image.open("test/fixtures/photos/astronaut.jpg").convert("RGB")
mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def own(network, x):
    maps = network(x)
    return {"maps": maps, "representation": maps.mean((1, 2))}


def torchvision_resnet(network, x):
    children = dict(network.named_children())
    for layer in ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"]:
        x = children[layer](x)
    return {"maps": x.permute(0, 2, 3, 1), "representation": x.mean((2, 3)), "logits": network.fc(x.mean((2, 3)))}


def torchvision_convnext(network, x):
    features = network.features(x)
    norm, _, linear = network.classifier
    pooled = norm(network.avgpool(features)).flatten(1)
    return {"maps": norm(features).permute(0, 2, 3, 1), "representation": pooled, "logits": linear(pooled)}


networks = [("resnet50", ResNet50, own), ("convnext_small", ConvNeXtSmall, own)]
try:
    from torchvision.models import convnext_tiny, resnet18

    networks.append(("torchvision_resnet18", resnet18, torchvision_resnet))
    networks.append(("torchvision_convnext_tiny", convnext_tiny, torchvision_convnext))
except ImportError:
    print("torchvision is not installed; its networks are skipped")

cases = []
for name, build, compute in networks:
    network = build()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
        if hasattr(module, "layer_scale"):
            nn.init.uniform_(module.layer_scale, 0.5, 1.5)
        if isinstance(module, (nn.BatchNorm2d, nn.LayerNorm)):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    network.eval()
    torch.save(network.state_dict(), OUT / f"{name}_alpha0.75.pth")
    for height, width in [(224, 224), (224, 320)]:
        pixels = np.asarray(photo.resize((width, height), Image.BICUBIC))
        with torch.no_grad():
            x = (torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255 - mean) / std
            outputs = compute(network, x)
            if "logits" in outputs:
                assert torch.allclose(outputs["logits"], network(x), atol=1e-4)
        case = f"{name}_{height}x{width}"
        pixels.tofile(OUT / f"{case}.pixels")
        for output, value in outputs.items():
            value.contiguous().numpy().tofile(OUT / f"{case}.{output}")
        about = {"name": case, "network": name, "height": height, "width": width, "outputs": list(outputs)}
        cases.append(about)
(OUT / "cases.json").write_text(json.dumps(cases))
