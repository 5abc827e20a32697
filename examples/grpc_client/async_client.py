#!/usr/bin/env python3
"""Classifies many documents at a time with asyncio, and waits when the server is full. See README.md."""
import argparse
import asyncio
import pathlib

import grpc
from google.rpc import error_details_pb2

from client import details
from minnow.v1 import common_pb2, inference_pb2, inference_pb2_grpc

LABELS = ["receipt", "invoice", "letter", "contract", "support mail"]


async def classify(stub, path):
    request = inference_pb2.ClassifyRequest(
        document=path.read_text(), question="What kind of document is this?", labels=LABELS,
        priority=common_pb2.PRIORITY_BATCH)
    while True:
        try:
            return await stub.Classify(request, timeout=60)
        except grpc.aio.AioRpcError as error:
            retry = details(error, error_details_pb2.RetryInfo)
            if retry is None:
                raise
            await asyncio.sleep(retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9)


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("documents", type=pathlib.Path, nargs="+")
    parser.add_argument("--to", default="127.0.0.1:50051")
    args = parser.parse_args()
    async with grpc.aio.insecure_channel(args.to) as channel:
        stub = inference_pb2_grpc.InferenceStub(channel)
        answers = await asyncio.gather(*(classify(stub, path) for path in args.documents))
    for path, answer in zip(args.documents, answers):
        best = max(answer.labels, key=lambda label: label.probability)
        print(f"{best.probability:6.3f}  {best.label:12}  {path.name}")


if __name__ == "__main__":
    asyncio.run(main())
