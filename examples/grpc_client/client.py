#!/usr/bin/env python3
"""Asks a running `minnow serve` what kind of document a file is, token by token. See README.md."""
import argparse
import pathlib
import sys

import grpc
from google.rpc import error_details_pb2, status_pb2

from minnow.v1 import inference_pb2, inference_pb2_grpc


def details(error, kind):
    """The google.rpc detail of this kind that came with a failure, or None."""
    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        for detail in status_pb2.Status.FromString(value).details:
            found = kind()
            if detail.Unpack(found):
                return found
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("document", type=pathlib.Path)
    parser.add_argument("--to", default="127.0.0.1:50051")
    parser.add_argument("--token", type=pathlib.Path, help="file with a bearer token")
    parser.add_argument("--temperature", type=float, default=0)
    args = parser.parse_args()
    metadata = []
    if args.token:
        metadata.append(("authorization", "Bearer " + args.token.read_text().strip()))

    question = "What kind of document is this?"
    request = inference_pb2.ChatRequest(
        messages=[inference_pb2.Message(role="user", content=f"{args.document.read_text()}\n\n{question}")],
        options=inference_pb2.GenerationOptions(
            max_tokens=64, sampling=inference_pb2.Sampling(temperature=args.temperature)))
    with grpc.insecure_channel(args.to) as channel:
        stub = inference_pb2_grpc.InferenceStub(channel)
        try:
            for event in stub.Chat(request, timeout=60, metadata=metadata):
                if event.HasField("chunk"):
                    print(event.chunk.text, end="", flush=True)
                elif event.HasField("finished"):
                    usage = event.finished.usage
                    print(f"\n[{usage.prompt_tokens} + {usage.completion_tokens} tokens]", file=sys.stderr)
        except grpc.RpcError as error:
            print(f"{error.code().name}: {error.details()}", file=sys.stderr)
            bad = details(error, error_details_pb2.BadRequest)
            for violation in bad.field_violations if bad else ():
                print(f"  {violation.field}: {violation.description}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
