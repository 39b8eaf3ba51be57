"""Calls the service by what its reflection answers, and by nothing else.

Usage: reflectedCall.py HOST:PORT v1|v1alpha. Prints what was answered, as JSON.

The two messages of reflection that it takes to ask are put together here, as every generic client brings them along.
"""

import json
import sys

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

address, version = sys.argv[1:]


def reflection_messages():
    """The part of grpc.reflection that this program speaks."""
    file = descriptor_pb2.FileDescriptorProto(name="ask.proto", package="ask", syntax="proto3")
    text, data, message = (descriptor_pb2.FieldDescriptorProto.Type.Value(name) for name in ("TYPE_STRING", "TYPE_BYTES", "TYPE_MESSAGE"))

    def add(name, *fields):
        made = file.message_type.add(name=name)
        for field, number, kind, many, type_name in fields:
            made.field.add(name=field, number=number, type=kind, label=3 if many else 1, type_name=type_name)

    add("Request", ("file_by_filename", 3, text, False, None), ("file_containing_symbol", 4, text, False, None),
        ("list_services", 7, text, False, None))
    add("Files", ("file", 1, data, True, None))
    add("Service", ("name", 1, text, False, None))
    add("Services", ("service", 1, message, True, ".ask.Service"))
    add("Response", ("files", 4, message, False, ".ask.Files"), ("services", 6, message, False, ".ask.Services"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return class_of(pool, "ask.Request"), class_of(pool, "ask.Response")


def class_of(pool, name):
    descriptor = pool.FindMessageTypeByName(name)
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)


channel = grpc.insecure_channel(address)
Request, Response = reflection_messages()
reflect = channel.stream_stream(
    f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
    request_serializer=lambda request: request.SerializeToString(),
    response_deserializer=Response.FromString,
)


def ask(**request):
    return next(reflect(iter([Request(**request)]), timeout=60))


pool = descriptor_pool.DescriptorPool()
known = set()


def learn(file):
    """Adds a file to the pool after those that it imports."""
    if file.name in known:
        return
    known.add(file.name)
    for name in file.dependency:
        learn(descriptor_pb2.FileDescriptorProto.FromString(ask(file_by_filename=name).files.file[0]))
    # The pool refuses a file that refers to what it does not have.
    pool.Add(file)
    pool.FindFileByName(file.name)


for service in ask(list_services="*").services.service:
    learn(descriptor_pb2.FileDescriptorProto.FromString(ask(file_containing_symbol=service.name).files.file[0]))
learn(descriptor_pb2.FileDescriptorProto.FromString(ask(file_containing_symbol="google.rpc.ErrorInfo").files.file[0]))


def call(service, method, **request):
    described = pool.FindServiceByName(service).methods_by_name[method]
    answer = class_of(pool, described.output_type.full_name)
    stub = channel.unary_unary(
        f"/{service}/{method}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=answer.FromString,
    )
    return stub(class_of(pool, described.input_type.full_name)(**request), timeout=60)


vicregl = "vicregl.v1.VicreglService"
raw = {"raw": {"width": 56, "height": 56, "rgb": bytes([7]) * (56 * 56 * 3)}}
vector = call(vicregl, "Embed", image=raw).embedding
(result,) = call(vicregl, "EmbedBatch", requests=[{"image": {"encoded": b"no image"}}]).results
info = class_of(pool, "google.rpc.ErrorInfo").FromString(result.status.details[0].value)
pixels = {"name": "pixels", "datatype": "UINT8", "shape": [1, 56, 56, 3]}
inferred = call("inference.GRPCInferenceService", "ModelInfer", model_name="tiny", inputs=[pixels],
                raw_input_contents=[raw["raw"]["rgb"]], outputs=[{"name": "embedding"}])
health = call("grpc.health.v1.Health", "Check")
status = health.DESCRIPTOR.fields_by_name["status"].enum_type.values_by_number[health.status].name
print(json.dumps({
    "shape": list(vector.shape),
    "bytes": len(vector.data),
    "item": {"code": result.status.code, "reason": info.reason},
    "health": status,
    "infer": {
        "datatype": inferred.outputs[0].datatype,
        "shape": list(inferred.outputs[0].shape),
        "same": inferred.raw_output_contents[0] == vector.data,
    },
}))
