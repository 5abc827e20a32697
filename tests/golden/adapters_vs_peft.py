#!/usr/bin/env python3
"""Compare logits through LoRA adapters with the peft package (float32) on tiny random models.

  adapters_vs_peft.py --minnow build/release/bin/minnow [--converter PATH/convert_lora_to_gguf.py | --folders]

For each layout peft puts random adapters on every matrix of the blocks; its logits are those of the unmerged and of
the merged model, and Minnow's, given the base file and the adapter as GGUF, must agree with both within
max|a-b| / max|b| <= 1e-4. With --converter the adapter's file is made by llama.cpp's script from what peft saved, which
shows that real files mean what ours do; else by tiny_models.write_adapter. With --folders model and adapter are folders
as transformers and peft save them. Prints a Markdown table; ends with 1 where a
bound is broken. Needs torch, transformers, peft, tokenizers, gguf, numpy.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import peft
import torch

import logits_vs_transformers
import runners
import tiny_models

LAYOUTS = ["llama", "qwen2", "phi3", "gemma2"]
CONTEXT = 160
ALPHA = 12
RANKS = {"k_proj": 4, "o_proj": 19, "down_proj": 16}  # others 8


def put_adapters(module):
    """The module with random adapters."""
    targets = sorted({name.rsplit(".", 1)[1] for name, m in module.named_modules()
                      if isinstance(m, torch.nn.Linear) and name != "lm_head"})
    ranks = {name: rank for name, rank in RANKS.items() if name in targets}
    config = peft.LoraConfig(r=8, lora_alpha=ALPHA, rank_pattern=ranks, target_modules=targets,
                             alpha_pattern={}, init_lora_weights=False, task_type="CAUSAL_LM")
    adapted = peft.get_peft_model(module, config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, p in adapted.named_parameters():
            if ".lora_A." in name:
                p.copy_(torch.randn(p.shape, generator=generator) / p.shape[1] ** 0.5)
            elif ".lora_B." in name:
                p.copy_(torch.randn(p.shape, generator=generator) * 0.05)
    return adapted.eval()


def pairs_of(layout, shape, adapted):
    """peft's matrices by GGUF name, rows in GGUF's order."""
    halves = {}
    for name, p in adapted.named_parameters():
        for half in ("lora_A", "lora_B"):
            if f".{half}." in name:
                base = name.removeprefix("base_model.model.").replace(f".{half}.default", "")
                halves.setdefault(tiny_models.gguf_name(layout, base), {})[half] = p.detach().numpy()
    pairs = {}
    for name, half in halves.items():
        b = half["lora_B"]
        heads = tiny_models.paired_heads(layout, shape, name)
        pairs[name] = (half["lora_A"], tiny_models.interleave(b, heads) if heads else b)
    return pairs


def convert(converter, adapted, folder):
    saved = pathlib.Path(folder) / "peft"
    adapted.save_pretrained(saved)
    adapted.config.architectures = [type(adapted.get_base_model()).__name__]
    adapted.config.save_pretrained(saved)
    path = pathlib.Path(folder) / "converted.gguf"
    subprocess.run([sys.executable, converter, "--base", saved, "--outfile", path, "--outtype", "f32", saved],
                   check=True, capture_output=True)
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minnow", required=True)
    made = parser.add_mutually_exclusive_group()
    made.add_argument("--converter")
    made.add_argument("--folders", action="store_true")
    args = parser.parse_args()
    tokenizer = tiny_models.make_tokenizer(logits_vs_transformers.VOCABULARY)
    text = tiny_models.make_text(1200)
    failed = False
    print("| layout | adapter's distance from the base | to peft | to the merged model | |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        text_path = pathlib.Path(folder) / "text.txt"
        text_path.write_text(text, encoding="utf-8")
        for name in LAYOUTS:
            layout = tiny_models.LAYOUTS[name]
            module = tiny_models.make_module(layout, layout.full, logits_vs_transformers.VOCABULARY)
            model = pathlib.Path(folder) / (name if args.folders else f"{name}.gguf")
            if args.folders:
                tiny_models.write_folder(model, layout, module, tokenizer)
            else:
                tiny_models.write_gguf(model, layout, layout.full, module, tokenizer)
            chunks = logits_vs_transformers.chunks_of(layout, tokenizer, text, CONTEXT)
            base = runners.scored(tiny_models.logits_of(module, chunks), CONTEXT)
            adapted = put_adapters(module)
            if args.converter:
                adapter = convert(args.converter, adapted, folder)
            elif args.folders:
                adapter = pathlib.Path(folder) / f"{name}.peft"
                adapted.save_pretrained(adapter)
            else:
                adapter = pathlib.Path(folder) / f"{name}.lora.gguf"
                # Of one alpha and many ranks: peft divides alpha by each rank, as the file's reader does.
                tiny_models.write_adapter(adapter, layout, pairs_of(layout, layout.full, adapted), float(ALPHA))
            got = runners.minnow_logits(args.minnow, model, text_path, CONTEXT, logits_vs_transformers.CHUNKS, folder,
                                        ["--kv-type", "f32", "--lora", adapter])
            unmerged = runners.scored(tiny_models.logits_of(adapted, chunks), CONTEXT)
            merged = runners.scored(tiny_models.logits_of(adapted.merge_and_unload(), chunks), CONTEXT)
            top = np.abs(merged).max()
            effect, a, b = (np.abs(x - y).max() / top for x, y in ((base, merged), (got, unmerged), (got, merged)))
            ok = max(a, b) <= logits_vs_transformers.BOUND and effect > 0.1
            failed |= not ok
            print(f"| {name} | {effect:.2f} | {a:.2e} | {b:.2e} | {'ok' if ok else '**broken**'} |", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
