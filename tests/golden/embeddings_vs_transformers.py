#!/usr/bin/env python3
"""Compare embeddings with transformers (float32) on a published BERT encoder.

  embeddings_vs_transformers.py --minnow PATH FOLDER

FOLDER is a sentence-transformers model with mean or CLS pooling and an uncased WordPiece vocabulary, such as
all-MiniLM-L6-v2. It is read as it is, and written as GGUF in F32 and in Q8_0; texts of 1 to 400 words go through `minnow embed`, all at
once, and again one by one, which must give the same digits. Ends with 1 where a cosine is below 0.9999 (F32, the folder) or 0.999
(Q8_0) or the digits differ. Needs torch, transformers, gguf, numpy.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import gguf
import numpy as np
import transformers

import bert_models
import tiny_models

BOUNDS = {"folder": (None, 0.9999), "F32": (None, 0.9999), "Q8_0": (gguf.GGMLQuantizationType.Q8_0, 0.999)}
WORDS = [1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 250] * 3
ALONE = 6  # how many texts are embedded by themselves too


def minnow_rows(minnow, model, texts):
    run = subprocess.run([minnow, "embed", "-m", model, "--json"], input="\n".join(texts) + "\n", text=True, check=True,
                         capture_output=True)
    return [json.loads(line) for line in run.stdout.splitlines()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minnow", required=True)
    parser.add_argument("folder", type=pathlib.Path)
    args = parser.parse_args()

    pooling_json = json.loads((args.folder / "1_Pooling" / "config.json").read_text())
    pooling = "cls" if pooling_json["pooling_mode_cls_token"] else "mean"
    module = transformers.BertModel.from_pretrained(args.folder, add_pooling_layer=False, attn_implementation="eager")
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.folder)
    pieces = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    texts = [tiny_models.make_text(n, seed=i).replace("\n", " ") for i, n in enumerate(WORDS)]
    expected = [bert_models.embed(module.eval().float(), tokenizer(t)["input_ids"], pooling) for t in texts]

    failed = False
    print("| form | texts | lowest cosine | bound | alone as together | |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, (matrix_type, bound) in BOUNDS.items():
            model = pathlib.Path(folder) / f"{name}.gguf"
            if name == "folder":
                model = args.folder
            else:
                bert_models.write_gguf(model, module, pieces, pooling, matrix_type)
            rows = minnow_rows(args.minnow, model, texts)
            lowest = min(np.dot(r["embedding"], e) for r, e in zip(rows, expected, strict=True))
            same = all(minnow_rows(args.minnow, model, [texts[i]])[0]["embedding"] == rows[i]["embedding"]
                       for i in range(len(texts) - ALONE, len(texts)))
            ok = lowest >= bound and same
            failed |= not ok
            print(f"| {name} | {len(texts)} | {lowest:.6f} | {bound} | {same} | {'ok' if ok else '**broken**'} |",
                  flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
