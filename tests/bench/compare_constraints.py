#!/usr/bin/env python3
"""Masks of Minnow beside those of llama.cpp, llguidance and xgrammar: how long they take, and for which schemas they are
right.

    compare_constraints.py --mask-bench BUILD/bin/mask_bench --tokenizer FOLDER [--suite FOLDER] [--no-peers]
                           [--llama-masks PATH --vocabulary VOCABULARY.gguf]

FOLDER of the tokenizer holds a tokenizer.json. The suite is tests/draft2020-12 of the Debian package
libtest-json-schema-acceptance-perl. Every valid instance is followed token by token, and at each place the whole mask is
made: by all of them on one thread, with grammars made anew for each instance. llama_masks.cc tells how its program is
built; its vocabulary is that of the tokenizer. The other peers are Python packages (llguidance, xgrammar, torch,
tokenizers) and are left out where they are not installed. Prints Markdown.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent


def cases(suite):
    """(group, schema, instance text, valid) of the schemas beside this file and of the suite."""
    for record in json.loads((HERE / "constraint_schemas.json").read_text()):
        yield "real", record["name"], record["schema"], json.dumps(record["instance"], ensure_ascii=False), True
    for path in sorted(pathlib.Path(suite).glob("*.json")) if suite else []:
        for group in json.loads(path.read_text()):
            for test in group["tests"]:
                name = f"{path.stem}: {group['description']}"
                text = json.dumps(test["data"], ensure_ascii=False)
                yield "suite", name, group["schema"], text, test["valid"]


def quantile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(q * len(values)))]


def row(name, firsts, masks):
    if not masks:
        return
    cells = [statistics.mean(firsts), max(firsts), statistics.mean(masks), statistics.median(masks), quantile(masks, 0.999)]
    print(f"| {name} | {len(masks)} | " + " | ".join(f"{1e6 * c:.1f}" for c in cells) + " |")


def llama_masks(program, vocabulary, file):
    found = json.loads(subprocess.run([program, vocabulary, file], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)
    wrong = f"{found['rejected_valid'] + found['accepted_invalid']} wrong ({found['rejected_valid']} valid ones rejected)"
    row("llama.cpp", found["firsts"], found["masks"])
    print(f"<!-- llama.cpp: {found['refused']} refused, {wrong} -->", flush=True)


def llguidance_masks(folder, records):
    import llguidance
    import llguidance.hf
    import llguidance.numpy
    import numpy
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ll = llguidance.hf.from_tokenizer(tokenizer)
    bitmask = llguidance.numpy.allocate_token_bitmask(1, ll.vocab_size)
    firsts, masks, refused, wrong = [], [], 0, 0
    for schema, text, valid in records:
        start = time.process_time()
        try:
            grammar = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(schema), {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "})
        except Exception:
            refused += 1
            continue
        matcher = llguidance.LLMatcher(ll, grammar)
        if matcher.is_error():
            refused += 1
            continue
        ok = True
        tokens = ll.tokenize_str(text)
        for i in range(len(tokens) + 1):
            at = time.process_time()
            llguidance.numpy.fill_next_token_bitmask(matcher, bitmask, 0)
            now = time.process_time()
            (firsts if i == 0 else masks).append(now - (start if i == 0 else at))
            if i == len(tokens):
                ok = matcher.is_accepting()
                break
            t = tokens[i]
            if not numpy.uint32(bitmask[0, t // 32]) >> numpy.uint32(t % 32) & 1:
                ok = False
                break
            matcher.consume_token(t)
        wrong += ok != valid
    return firsts, masks, refused, wrong


def xgrammar_masks(folder, records):
    import transformers
    import xgrammar

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    info = xgrammar.TokenizerInfo.from_huggingface(tokenizer)
    bitmask = xgrammar.allocate_token_bitmask(1, info.vocab_size)
    firsts, masks, refused, wrong = [], [], 0, 0
    for schema, text, valid in records:
        compiler = xgrammar.GrammarCompiler(info, max_threads=1, cache_enabled=False)
        start = time.process_time()
        try:
            grammar = compiler.compile_json_schema(json.dumps(schema), any_whitespace=False)
        except Exception:
            refused += 1
            continue
        matcher = xgrammar.GrammarMatcher(grammar)
        ok = True
        tokens = tokenizer.encode(text, add_special_tokens=False)
        for i in range(len(tokens) + 1):
            at = time.process_time()
            matcher.fill_next_token_bitmask(bitmask)
            now = time.process_time()
            (firsts if i == 0 else masks).append(now - (start if i == 0 else at))
            if i == len(tokens):
                ok = matcher.is_completed() if hasattr(matcher, "is_completed") else matcher.accept_token(tokenizer.eos_token_id)
                break
            if not matcher.accept_token(tokens[i]):
                ok = False
                break
        wrong += ok != valid
    return firsts, masks, refused, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mask-bench", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--suite")
    parser.add_argument("--no-peers", action="store_true", help="no Python packages")
    parser.add_argument("--llama-masks", help="the program")
    parser.add_argument("--vocabulary", help="GGUF with the tokenizer's vocabulary, for --llama-masks")
    args = parser.parse_args()
    for group in ("real", "suite") if args.suite else ("real",):
        records = [(s, t, v) for g, _, s, t, v in cases(args.suite) if g == group]
        print(f"\n## {group}: {len(records)} instances\n", flush=True)
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as f:
            for schema, text, valid in records:
                f.write(json.dumps({"kind": "json_schema", "source": json.dumps(schema), "text": text, "valid": valid}) + "\n")
            f.flush()
            subprocess.run([args.mask_bench, args.tokenizer + "/tokenizer.json", f.name], check=True, stderr=subprocess.DEVNULL)
            print("\n| peer, µs | masks | grammar and first mask, mean | most | mask, mean | median | p99.9 |")
            print("|---|---|---|---|---|---|---|", flush=True)
            if args.llama_masks:
                llama_masks(args.llama_masks, args.vocabulary, f.name)
        if args.no_peers:
            continue
        for name, run in (("llguidance", llguidance_masks), ("xgrammar", xgrammar_masks)):
            try:
                firsts, masks, refused, wrong = run(args.tokenizer, records)
            except ImportError as e:
                print(f"{name} is not there: {e}", file=sys.stderr)
                continue
            row(name, firsts, masks)
            print(f"<!-- {name}: {refused} refused, {wrong} wrong -->", flush=True)


if __name__ == "__main__":
    main()
