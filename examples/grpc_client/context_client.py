#!/usr/bin/env python3
"""Asks several questions about one document, which the server reads once. See README.md."""
import argparse
import pathlib

import grpc

from minnow.v1 import inference_pb2, inference_pb2_grpc

QUESTIONS = ["What is the company?", "What is the date?", "What is the total?"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("document", type=pathlib.Path)
    parser.add_argument("--to", default="127.0.0.1:50051")
    parser.add_argument("--save", help="name under which the server keeps the context (serve --context-dir)")
    args = parser.parse_args()
    with grpc.insecure_channel(args.to) as channel:
        stub = inference_pb2_grpc.InferenceStub(channel)
        context = stub.CreateContext(inference_pb2.CreateContextRequest(
            document=args.document.read_text(), pin=True), timeout=60)
        for question in QUESTIONS:
            request = inference_pb2.ChatRequest(
                context=context.id, messages=[inference_pb2.Message(role="user", content=question)],
                options=inference_pb2.GenerationOptions(max_tokens=32))
            text = ""
            for event in stub.Chat(request, timeout=60):
                text += event.chunk.text
            usage = event.finished.usage
            print(f"{question:22} {text.strip()}   ({usage.cached_tokens} of {usage.prompt_tokens} tokens were read before)")
        if args.save:
            stub.SaveContext(inference_pb2.SaveContextRequest(id=context.id, name=args.save), timeout=60)
        stub.DeleteContext(inference_pb2.DeleteContextRequest(id=context.id), timeout=60)


if __name__ == "__main__":
    main()
