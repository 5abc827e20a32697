#!/usr/bin/env python3
"""The part of grpcurl that the docs use, for machines without it: services by reflection, messages as JSON.

  grpcurl.py [-plaintext] [-cacert F] [-cert F] [-key F] [-H 'name: value']... [-d JSON] ADDRESS list [SERVICE]
                                                                                        ADDRESS describe SYMBOL
                                                                                        ADDRESS SERVICE/METHOD

Asks what grpcurl asks: everything that it knows of the server comes from the server's reflection. REFLECTION is the
descriptor set of grpc.reflection.v1.
"""
import argparse
import os
import sys

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory


def message_class(pool, descriptor):
    if hasattr(message_factory, "GetMessageClass"):  # protobuf 4.22 and later
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)


def read(path):
    with open(path, "rb") as file:
        return file.read()


class Reflection:
    """Descriptors as the server tells them."""

    def __init__(self, channel, metadata):
        own = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(read(os.environ["REFLECTION"])).file:
            own.Add(file)
        name = "grpc.reflection.v1.ServerReflection"
        self.request = message_class(own, own.FindMessageTypeByName(name + "Request"))
        response = message_class(own, own.FindMessageTypeByName(name + "Response"))
        self.call = channel.stream_stream(f"/{name}/{name.rsplit('.', 1)[1]}Info",
                                          request_serializer=self.request.SerializeToString,
                                          response_deserializer=response.FromString)
        self.metadata = metadata
        self.pool = descriptor_pool.DescriptorPool()

    def ask(self, **what):
        (answer,) = self.call(iter([self.request(**what)]), metadata=self.metadata, timeout=60)
        if answer.HasField("error_response"):
            sys.exit(f"Failed to resolve: {answer.error_response.error_message}")
        return answer

    def services(self):
        return sorted(s.name for s in self.ask(list_services="*").list_services_response.service)

    def find(self, symbol):
        for data in self.ask(file_containing_symbol=symbol).file_descriptor_response.file_descriptor_proto:
            self.pool.AddSerializedFile(data)
        return self.pool

    def service(self, name):
        return self.find(name).FindServiceByName(name)


def describe(reflection, symbol):
    pool = reflection.find(symbol)
    try:
        found = pool.FindServiceByName(symbol)
    except KeyError:
        found = pool.FindMessageTypeByName(symbol)
    proto = descriptor_pb2.ServiceDescriptorProto() if hasattr(found, "methods") else descriptor_pb2.DescriptorProto()
    found.CopyToProto(proto)
    print(proto)


def invoke(channel, reflection, path, data, metadata):
    service, name = path.rsplit("/", 1)
    method = reflection.service(service).methods_by_name[name]
    proto = descriptor_pb2.MethodDescriptorProto()
    method.CopyToProto(proto)
    request = message_class(reflection.pool, method.input_type)
    response = message_class(reflection.pool, method.output_type)
    if proto.client_streaming:
        sys.exit("streams of requests are not here")
    call = channel.unary_stream(f"/{path}", request_serializer=request.SerializeToString,
                                response_deserializer=response.FromString)
    message = json_format.Parse(data, request(), descriptor_pool=reflection.pool)
    for answer in call(message, metadata=metadata, timeout=120):
        print(json_format.MessageToJson(answer, descriptor_pool=reflection.pool), flush=True)


def main():
    parser = argparse.ArgumentParser(prefix_chars="-")
    parser.add_argument("-plaintext", action="store_true")
    for name in ("cacert", "cert", "key"):
        parser.add_argument("-" + name, type=read)
    parser.add_argument("-H", action="append", default=[])
    parser.add_argument("-d", default="{}")
    parser.add_argument("address")
    parser.add_argument("words", nargs="+")
    args = parser.parse_args()
    metadata = [tuple(part.strip() for part in header.split(":", 1)) for header in args.H]
    with grpc.insecure_channel(args.address) if args.plaintext else grpc.secure_channel(
            args.address, grpc.ssl_channel_credentials(args.cacert, args.key, args.cert)) as channel:
        try:
            reflection = Reflection(channel, metadata)
            if args.words == ["list"]:
                print("\n".join(reflection.services()))
            elif args.words[0] == "list":
                print("\n".join(m.full_name for m in reflection.service(args.words[1]).methods))
            elif args.words[0] == "describe":
                describe(reflection, args.words[1])
            else:
                invoke(channel, reflection, args.words[0], args.d, metadata)
        except grpc.RpcError as error:
            print(f"ERROR:\n  Code: {error.code().name}\n  Message: {error.details()}", file=sys.stderr)
            sys.exit(64 + error.code().value[0])


if __name__ == "__main__":
    main()
