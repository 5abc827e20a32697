#!/usr/bin/env python3
"""Compare logits with transformers (float32) on tiny random models of every layout.

  logits_vs_transformers.py --minnow build/release/bin/minnow [--minnow-args="..."] [--folders]
  logits_vs_transformers.py --llama-perplexity PATH        # the same files in llama.cpp: are the files right?

With --folders the models are not GGUF files but folders as transformers' save_pretrained writes them.
Prints a Markdown table; ends with 1 where a bound is broken. Minnow's logits must agree within
max|a-b| / max|b| <= 1e-4 with a KV cache in F32. llama.cpp reveals log-probabilities
in steps of up to 2.4e-4 nats only (runners.PeerRows), so there the largest difference of log-probabilities must stay
within the layout's `peer_bound` plus half a step; windows are tested where it has them. Needs torch, transformers,
tokenizers, gguf, numpy.
"""
import argparse
import pathlib
import shlex
import sys
import tempfile

import numpy as np

import runners
import tiny_models

VOCABULARY = 512
CHUNKS = 2
BOUND = 1e-4


def chunks_of(layout, tokenizer, text, context):
    ids = tokenizer.encode(text).ids
    if layout.add_bos:
        ids = [0] + ids
    chunks = np.array(ids[:CHUNKS * context]).reshape(CHUNKS, context)
    if layout.add_bos:
        chunks[:, 0] = 0
    return chunks


def compare_minnow(args, model, text_path, context, folder, expected):
    got = runners.minnow_logits(args.minnow, model, text_path, context, CHUNKS, folder, shlex.split(args.minnow_args))
    if got.shape != expected.shape:
        raise RuntimeError(f"{model}: {got.shape} logits where {expected.shape} were expected")
    error = np.abs(got - expected).max() / np.abs(expected).max()
    return error, BOUND


def compare_peer(args, layout, model, text_path, context, folder, chunks, expected):
    exact = ["-fa", "off", "-ctk", "f32", "-ctv", "f32"]
    rows = runners.peer_rows(args.llama_perplexity, model, text_path, context, CHUNKS, folder, exact)
    same = rows.tokens[:, 1:] == chunks[:, 1:]
    if not same.all():
        raise RuntimeError(f"{model}: tokenized differently from chunk, position {np.argwhere(~same)[0]} on")
    error = np.abs(rows.log_probs - runners.log_softmax(expected))
    return error[np.isfinite(rows.log_probs)].max(), layout.peer_bound + rows.step.max() / 2


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    runtime = parser.add_mutually_exclusive_group(required=True)
    runtime.add_argument("--minnow")
    runtime.add_argument("--llama-perplexity")
    parser.add_argument("--minnow-args", default="--kv-type f32", help="further arguments of `minnow perplexity` (%(default)s)")
    parser.add_argument("--layout", choices=tiny_models.LAYOUTS, action="append", help="default: all")
    parser.add_argument("--folders", action="store_true", help="write Hugging Face folders instead of GGUF files")
    parser.add_argument("--keep", help="write the models into this folder and leave them there")
    args = parser.parse_args()

    tokenizer = tiny_models.make_tokenizer(VOCABULARY)
    text = tiny_models.make_text(1200)
    failed = False
    measure = "max abs(a-b) / max abs(b)" if args.minnow else "max abs(a-b), log-probabilities"
    print(f"| layout | context | rows | {measure} | bound | |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        text_path = pathlib.Path(temporary) / "text.txt"
        text_path.write_text(text, encoding="utf-8")
        for name in args.layout or tiny_models.LAYOUTS:
            layout = tiny_models.LAYOUTS[name]
            module = tiny_models.make_module(layout, layout.full, VOCABULARY)
            if args.folders:
                model = pathlib.Path(args.keep or temporary) / name
                tiny_models.write_folder(model, layout, module, tokenizer)
            else:
                model = pathlib.Path(args.keep or temporary) / f"{name}.gguf"
                tiny_models.write_gguf(model, layout, layout.full, module, tokenizer)
            if args.llama_perplexity and not layout.peer_windows:
                module = tiny_models.without_window(module)
            for context in layout.contexts:
                chunks = chunks_of(layout, tokenizer, text, context)
                expected = runners.scored(tiny_models.logits_of(module, chunks), context)
                if args.minnow:
                    error, bound = compare_minnow(args, model, text_path, context, temporary, expected)
                else:
                    error, bound = compare_peer(args, layout, model, text_path, context, temporary,
                                                chunks, expected)
                ok = error <= bound
                failed |= not ok
                print(f"| {name} | {context} | {len(expected)} | {error:.2e} | {bound:.1e} | "
                      f"{'ok' if ok else '**broken**'} |", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
