#!/usr/bin/env python3
"""Takes a record out of a document: JSON that a schema allows, with where each value comes from. See README.md."""
import argparse
import json
import pathlib
import sys

import grpc

from client import details
from google.rpc import error_details_pb2
from minnow.v1 import inference_pb2, inference_pb2_grpc

SCHEMA = {
    "type": "object",
    "properties": {
        "company": {"type": "string", "x-from-source": True},
        "date": {"type": "string", "x-from-source": True, "x-normalize": "date"},
        "total": {"type": "string", "x-from-source": True},
    },
    "required": ["company", "date", "total"],
    "additionalProperties": False,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("document", type=pathlib.Path)
    parser.add_argument("--schema", type=pathlib.Path, help="a file with another JSON Schema")
    parser.add_argument("--to", default="127.0.0.1:50051")
    args = parser.parse_args()
    schema = args.schema.read_text() if args.schema else json.dumps(SCHEMA)
    with grpc.insecure_channel(args.to) as channel:
        stub = inference_pb2_grpc.InferenceStub(channel)
        request = inference_pb2.ExtractRequest(document=args.document.read_text(), schema=schema)
        try:
            answer = stub.Extract(request, timeout=60)
        except grpc.RpcError as error:
            bad = details(error, error_details_pb2.BadRequest)
            for violation in bad.field_violations if bad else ():
                print(f"{violation.field}: {violation.description}", file=sys.stderr)
            return f"{error.code().name}: {error.details()}"
    print(answer.json)
    for field in answer.fields:
        lines = ", ".join(str(span.line) for span in field.spans)
        print(f"{field.pointer:12} {field.confidence:6.3f}   {'line ' + lines if lines else ''}   {field.normalized}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
