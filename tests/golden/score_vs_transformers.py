#!/usr/bin/env python3
"""Compare `minnow score` with transformers (float32) on tiny random models of every layout that generates.

  score_vs_transformers.py --minnow build/release/bin/minnow [--layout llama] [--folder MODEL --gguf FILE]

Of each model a text by itself and a continuation of it are scored, and every log-probability must agree with
log_softmax of transformers' logits within 1e-3; the first entry of a text must be null, and the entry behind its
last token the likeliest one. Minnow's cache is F32. With --folder and --gguf it is a model of your own instead, as
transformers reads it and as Minnow does. Prints a Markdown table; ends with 1 where the bound is broken. Needs torch,
transformers, tokenizers, gguf, numpy; where they are not there it says so and ends with 77.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import torch
    import transformers

    import tiny_models
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

VOCABULARY = 512
BOUND = 1e-3


def score(args, model, text, prompt=None):
    command = [args.minnow, "score", "-m", str(model), "--kv-type", "f32", "--json"]
    if prompt is not None:
        command += ["--prompt", prompt]
    run = subprocess.run(command, input=text.encode(), capture_output=True, check=True)
    return json.loads(run.stdout)


def log_probs(module, ids):
    with torch.no_grad():
        logits = module(torch.tensor([ids])).logits[0].to(torch.float64)
    return torch.log_softmax(logits, dim=-1).numpy()


def compare(args, model, module, text, prompt):
    """The largest difference over a text alone and a continuation, and how many entries there were."""
    whole = score(args, model, text)
    ids, got = whole["tokens"], whole["token_logprobs"]
    assert len(ids) == len(got) == whole["usage"]["prompt_tokens"] + 1, "not prompt_tokens + 1 entries"
    assert got[0] is None, "the first token has a log-probability"
    rows = log_probs(module, ids[:-1])
    errors = [abs(rows[i - 1][ids[i]] - got[i]) for i in range(1, len(ids))]
    assert rows[-1].max() - rows[-1][ids[-1]] < BOUND, "the last entry is not the likeliest token"
    assert abs(sum(got[1:-1]) - whole["logprob"]) < 1e-3, "the sum is another"
    before = score(args, model, prompt)["tokens"][:-1]
    rest = score(args, model, text, prompt)
    rows = log_probs(module, before + rest["tokens"])
    errors += [abs(rows[len(before) + i - 1][t] - rest["token_logprobs"][i]) for i, t in enumerate(rest["tokens"])]
    return max(errors), len(errors)


def report(name, error, entries):
    print(f"| {name} | {entries} | {error:.2e} | {BOUND:.0e} | {'ok' if error <= BOUND else '**broken**'} |",
          flush=True)
    return error <= BOUND


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minnow", required=True)
    parser.add_argument("--layout", choices=tiny_models.LAYOUTS, action="append", help="default: all")
    parser.add_argument("--folder", help="a model as transformers reads it")
    parser.add_argument("--gguf", help="the same as Minnow reads it; default: the folder")
    args = parser.parse_args()

    # Longer than what LongRoPE was first trained for: there transformers takes the same factors as for a long context.
    text, prompt = tiny_models.make_text(230), tiny_models.make_text(20)
    print("| model | entries | max abs(a-b), nats | bound | |\n|---|---|---|---|---|")
    good = True
    if args.folder:
        module = transformers.AutoModelForCausalLM.from_pretrained(args.folder, dtype=torch.float32).eval()
        error, entries = compare(args, args.gguf or args.folder, module, text, prompt)
        sys.exit(0 if report(args.folder, error, entries) else 1)
    tokenizer = tiny_models.make_tokenizer(VOCABULARY)
    with tempfile.TemporaryDirectory() as temporary:
        for name in args.layout or tiny_models.LAYOUTS:
            layout = tiny_models.LAYOUTS[name]
            module = tiny_models.make_module(layout, layout.full, VOCABULARY)
            model = pathlib.Path(temporary) / f"{name}.gguf"
            tiny_models.write_gguf(model, layout, layout.full, module, tokenizer)
            error, entries = compare(args, model, module, text, prompt)
            good &= report(name, error, entries)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
