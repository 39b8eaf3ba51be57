"""Serves Embed in Python: the same API with grpcio, the same network in PyTorch, Pillow for images.

    /usr/bin/python3 scripts/bench/peers/pythonServer.py --weights W.safetensors --arch resnet50 --proto proto
    (Debian: apt-get install python3-torch python3-grpcio python3-grpc-tools python3-pil)

Prints one JSON line with its address. It works as such servers usually do: a pool of threads decodes, and one thread at a
time runs the network on one image with all cores. The network is traced and frozen (batch norms folded).
"""

import argparse
import io
import json
import pathlib
import re
import sys
import tempfile
import threading
from concurrent import futures

import grpc
import numpy
import torch
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from pytorchStep import ConvNext, ResNet, read_safetensors  # noqa: E402

NETWORKS = {
    "resnet50": lambda: ResNet("bottleneck", [3, 4, 6, 3], 64),
    "convnext_atto": lambda: ConvNext([2, 2, 6, 2], [40, 80, 160, 320]),
}


class Embedder(torch.nn.Module):
    """Maps uint8 [B, 224, 224, 3] to the mean over the cells of the network's map, [B, C]."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]) * 255)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]) * 255)

    def forward(self, pixels):
        x = ((pixels.float() - self.mean) / self.std).permute(0, 3, 1, 2)
        return self.network(x).mean((1, 2))


def load_network(arch, path):
    network = NETWORKS[arch]()
    tensors, _ = read_safetensors(path)
    weights = {name.removeprefix("backbone."): value for name, value in tensors.items() if name.startswith("backbone.")}
    missing, unexpected = network.load_state_dict(weights, strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        sys.exit(f"the weights do not fit: missing {missing[:5]}, unexpected {unexpected[:5]}")
    traced = torch.jit.trace(Embedder(network).eval(), torch.zeros(1, 224, 224, 3, dtype=torch.uint8))
    return torch.jit.freeze(traced)


def load_messages(proto):
    """Returns a function from a message name to its class. No generated code is needed."""
    with tempfile.TemporaryDirectory() as folder:
        # Debian's protoc does not know `optional` of proto3. Removing it does not change the wire format.
        for source in pathlib.Path(proto).rglob("*.proto"):
            copy = pathlib.Path(folder, source.relative_to(proto))
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(re.sub(r"^(\s*)optional ", r"\1", source.read_text(), flags=re.MULTILINE))
        out = pathlib.Path(folder, "descriptors")
        include = pathlib.Path(protoc.__file__).parent / "_proto"
        arguments = ["protoc", f"-I{folder}", f"-I{include}", "--include_imports", f"--descriptor_set_out={out}"]
        if protoc.main([*arguments, "vicregl/v1/vicregl.proto"]) != 0:
            sys.exit("protoc failed")
        files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    return lambda name: factory.GetPrototype(pool.FindMessageTypeByName(f"vicregl.v1.{name}"))


def prepare(data):
    """Resizes the short side to 256 (bicubic) and crops the central square of 224: uint8 [1, 224, 224, 3]."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    width, height = image.size
    short = min(width, height)
    size = (256 * width // short, 256 * height // short)
    if size != image.size:
        image = image.resize(size, Image.BICUBIC)
    left, top = round((size[0] - 224) / 2), round((size[1] - 224) / 2)
    return torch.from_numpy(numpy.array(image.crop((left, top, left + 224, top + 224)))).unsqueeze(0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", required=True)
    parser.add_argument("--arch", required=True, choices=sorted(NETWORKS))
    parser.add_argument("--proto", required=True)
    parser.add_argument("--threads", type=int, default=2)
    flags = parser.parse_args()
    torch.set_num_threads(flags.threads)
    network = load_network(flags.arch, flags.weights)
    messages = load_messages(flags.proto)
    EmbedRequest, EmbedResponse = messages("EmbedRequest"), messages("EmbedResponse")
    inference_lock = threading.Lock()

    def embed(request, context):
        if request.image.WhichOneof("source") != "encoded":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "image: only encoded images are supported")
        pixels = prepare(request.image.encoded)
        with inference_lock, torch.inference_mode():
            vector = network(pixels)[0].numpy()
        response = EmbedResponse()
        response.embedding.dtype = 1
        response.embedding.shape.append(vector.size)
        response.embedding.data = vector.astype("<f4").tobytes()
        response.model.name, response.model.version = flags.arch, "peer"
        return response

    handler = grpc.unary_unary_rpc_method_handler(
        embed, request_deserializer=EmbedRequest.FromString, response_serializer=EmbedResponse.SerializeToString
    )
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("vicregl.v1.VicreglService", {"Embed": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(json.dumps({"address": f"127.0.0.1:{port}", "torch": torch.__version__, "grpc": grpc.__version__}), flush=True)
    sys.stdin.read()
    server.stop(None)


main()
