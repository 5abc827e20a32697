#!/usr/bin/env python3
"""Asks a demo model about documents it has never seen and counts the right answers.

    python3 evaluate.py --tokenizer /tmp/demo/tokenizer.json --model models/minnow-demo.Q8_0.gguf

Weights are read back from the GGUF file, so that what is measured is what is shipped. Greedy
decoding, canonical questions, and an answer counts only when it is right to the last character.
"""

import argparse
import collections
import pathlib
import random

import gguf
import torch

import documents
import tasks
import tokenizer as tok
from model import Config, Decoder, extend, generate


def load_gguf(path):
    model = Decoder(Config())
    reader = gguf.GGUFReader(path)
    model.load_state_dict(
        {
            t.name: torch.from_numpy(gguf.quants.dequantize(t.data, t.tensor_type).copy())
            for t in reader.tensors
        }
    )
    return model.eval()


def questions(document):
    """(what it is counted under, question, right answer) for one document."""
    yield "kind", tasks.KIND_QUESTIONS[0], document.kind
    if document.urgency:
        yield "urgency", tasks.URGENCY_QUESTIONS[0], document.urgency
    for name, value in document.fields.items():
        yield f"{document.kind}.{name}", tasks.field_question(name), value
    extract = tasks.extract_question(document.fields)
    yield f"{document.kind} as JSON", extract, tasks.to_json(document.fields)


def main():
    parser = argparse.ArgumentParser(description="Measure the demo model.")
    parser.add_argument("--tokenizer", type=pathlib.Path, required=True)
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--seed", type=int, default=1000, help="of the documents")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--show-wrong", action="store_true")
    options = parser.parse_args()

    torch.set_num_threads(1)  # single tokens through a small model: more threads only wait
    tokenizer, model = tok.load(options.tokenizer), load_gguf(options.model)
    rng = random.Random(options.seed)
    asked, right = collections.Counter(), collections.Counter()
    for _ in range(options.count):
        document = documents.make_document(rng)
        caches = [[] for _ in model.blk]
        extend(model, caches, tok.document_prefix(tokenizer, document.text))
        for name, question, expected in questions(document):
            ids = generate(model, caches, tok.question_turn(tokenizer, question), tok.END)
            answer = tokenizer.decode(ids)
            asked[name] += 1
            right[name] += answer == expected
            if options.show_wrong and answer != expected:
                print(f"{name}: expected {expected!r}, got {answer!r}")
    fields = [name for name in asked if "." in name]
    asked["all fields"] = sum(asked[name] for name in fields)
    right["all fields"] = sum(right[name] for name in fields)
    for name in sorted(asked):
        print(f"{name:24} {right[name]:5} of {asked[name]:5}  {right[name] / asked[name]:6.1%}")


if __name__ == "__main__":
    main()
