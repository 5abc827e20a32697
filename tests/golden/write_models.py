#!/usr/bin/env python3
"""Write models/: tiny models of every layout and what they must answer, for tests that have neither Python nor a peer.

  write_models.py [FOLDER]

Beside each NAME.gguf stands NAME.logits.json: {"cases": [{"tokens": [...], "positions": [...], "logits":
[[...], ...]}]}. A case is one sequence of tokens in a context of exactly that length; `logits` are rows of
transformers' float32 answer at `positions`. An encoder's NAME.embeddings.json has {"cases": [{"text": ..., "tokens":
[...], "embedding": [...]}]} instead. Everything is seeded: the files change only when this script,
tiny_models.py or the libraries' random numbers do. `quantized.gguf` has every tensor type: random blocks, whose
meaning as float32 (by the gguf package) is what transformers computes with, so its logits hold no rounding of
activations. NAME.lora.gguf is a random adapter for NAME.gguf; NAME.lora.logits.json is transformers' answer with the
adapter merged into the weights. Needs torch, transformers, tokenizers, gguf, numpy.
"""
import json
import pathlib
import sys

import gguf
import numpy as np
import torch

import bert_models
import tiny_models

VOCABULARY = 272
WORD_PIECES = 200
POSITIONS = [0, 31, 32, 39, 40, 255, 256, 299]  # edges of pages, windows, and attention's blocks of 256
SHORT = 200

T = gguf.GGMLQuantizationType
QUANTIZED_SHAPE = tiny_models.Shape(256, 4, 2, 32, 64, 2, 0)
QUANTIZED_TYPES = {
    "token_embd": T.Q8_0,
    "blk.0.attn_q": T.Q4_K, "blk.0.attn_k": T.Q6_K, "blk.0.attn_v": T.Q5_K, "blk.0.attn_output": T.Q4_0,
    "blk.0.ffn_gate": T.Q4_K, "blk.0.ffn_up": T.Q6_K, "blk.0.ffn_down": T.Q5_0,
    "blk.1.attn_q": T.Q5_K, "blk.1.attn_k": T.F16, "blk.1.attn_v": T.BF16, "blk.1.attn_output": T.Q8_0,
    "blk.1.ffn_gate": T.Q5_K, "blk.1.ffn_up": T.Q4_0, "blk.1.ffn_down": T.Q8_0,
}
# Where a block's float16 factors stand (offset of d, offset of dmin or None), and dmin / d that centres random codes.
FACTORS = {T.Q4_0: (0, None, 0), T.Q5_0: (0, None, 0), T.Q8_0: (0, None, 0), T.Q6_K: (208, None, 0),
           T.Q4_K: (0, 2, 7.5), T.Q5_K: (0, 2, 15.5)}


def random_blocks(rng, kind, rows, width, deviation):
    """A random tensor of this type: (raw bytes [rows, bytes], its float32 meaning)."""
    if kind in (T.F16, T.BF16):
        raw = gguf.quantize(rng.standard_normal((rows, width), np.float32) * deviation, kind)
        return raw.view(np.uint8), gguf.dequantize(raw, kind)
    per_block, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (rows * width // per_block, size), np.uint8)
    at, at_min, ratio = FACTORS[kind]

    def set_factors(d):
        blocks[:, at:at + 2] = np.atleast_1d(d).astype("<f2")[:, None].view(np.uint8)
        if at_min is not None:
            blocks[:, at_min:at_min + 2] = np.atleast_1d(d * ratio).astype("<f2")[:, None].view(np.uint8)

    set_factors(np.ones(1))
    unit = gguf.dequantize(blocks, kind).std()
    set_factors(deviation / unit * rng.uniform(0.5, 1.4, len(blocks)))
    raw = blocks.reshape(rows, -1)
    return raw, gguf.dequantize(raw, kind).reshape(rows, width)


def quantize_module(layout, shape, module):
    """Replace the module's matrices by random blocks; return them by GGUF name."""
    rng = np.random.default_rng(1)
    quantized = {}
    for name, x in list(tiny_models.gguf_tensors(layout, shape, module)):
        kind = QUANTIZED_TYPES.get(name.removesuffix(".weight"))
        if kind is not None:
            raw, meaning = random_blocks(rng, kind, *x.shape, x.std())
            quantized[name] = (raw, kind)
            tiny_models.set_from_gguf(layout, shape, module, name, meaning)
    assert len(quantized) == len(QUANTIZED_TYPES)
    return quantized


def make_case(module, tokens, positions):
    rows = tiny_models.logits_of(module, [tokens])[0][positions]
    return {"tokens": tokens, "positions": positions, "logits": [[float(f"{x:.7g}") for x in row] for row in rows]}


def write(folder, name, layout, shape, tokenizer, quantize=False):
    # Peaked attention multiplies the rounding of activations, in which a wrong weight could then hide.
    module = tiny_models.make_module(layout, shape, VOCABULARY, query_gain=0.3 if quantize else 1.4)
    quantized = quantize_module(layout, shape, module) if quantize else None
    tiny_models.write_gguf(folder / f"{name}.gguf", layout, shape, module, tokenizer, quantized)
    tokens = ([0] if layout.add_bos else []) + tokenizer.encode(tiny_models.make_text(300, seed=3)).ids
    cases = [make_case(module, tokens[:POSITIONS[-1] + 1], POSITIONS)]
    if layout.contexts[0] != layout.contexts[-1]:  # a layout that treats short contexts differently
        cases.append(make_case(module, tokens[:SHORT], [0, SHORT - 1]))
    (folder / f"{name}.logits.json").write_text(json.dumps({"cases": cases}, separators=(",", ":")) + "\n")


def merge_random_adapter(layout, shape, module, dtype, alpha=12.0):
    """Merge random pairs of several ranks into the module; return them by GGUF name."""
    rng = np.random.default_rng(2)
    pairs = {}
    for i, (name, x) in enumerate(list(tiny_models.gguf_tensors(layout, shape, module))):
        if x.ndim != 2 or name == "token_embd.weight":
            continue
        rank = (4, 8, 19)[i % 3]
        a = (rng.standard_normal((rank, x.shape[1]), np.float32) / np.sqrt(x.shape[1])).astype(dtype)
        b = (rng.standard_normal((x.shape[0], rank), np.float32) * 0.05).astype(dtype)
        pairs[name] = (a, b)
        merged = x + alpha / rank * (b.astype(np.float64) @ a.astype(np.float64))
        tiny_models.set_from_gguf(layout, shape, module, name, merged.astype(np.float32))
    return pairs, alpha


def write_adapter(folder, name, layout, shape, tokenizer, dtype):
    module = tiny_models.make_module(layout, shape, VOCABULARY)
    tokens = ([0] if layout.add_bos else []) + tokenizer.encode(tiny_models.make_text(300, seed=3)).ids
    pairs, alpha = merge_random_adapter(layout, shape, module, dtype)
    tiny_models.write_adapter(folder / f"{name}.lora.gguf", layout, pairs, alpha)
    case = make_case(module, tokens[:POSITIONS[-1] + 1], POSITIONS)
    (folder / f"{name}.lora.logits.json").write_text(json.dumps({"cases": [case]}, separators=(",", ":")) + "\n")


def write_encoders(folder):
    tokenizer = bert_models.make_tokenizer(WORD_PIECES)
    pieces = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    module = bert_models.make_module(WORD_PIECES)
    long_text = tiny_models.make_text(300, seed=3)
    texts = ["", "Café, Zürich!", "naïve letters 東京 \u2603 between", long_text[:200], long_text]
    for pooling in bert_models.POOLING:
        bert_models.write_gguf(folder / f"bert_{pooling}.gguf", module, pieces, pooling)
        cases = []
        for text in texts:
            tokens = tokenizer.encode(text).ids
            tokens = tokens[:319] + tokens[-1:] if len(tokens) > 320 else tokens
            vector = bert_models.embed(module, tokens, pooling)
            cases.append({"text": text, "tokens": tokens, "embedding": [float(f"{x:.7g}") for x in vector]})
        (folder / f"bert_{pooling}.embeddings.json").write_text(json.dumps({"cases": cases}, separators=(",", ":")) + "\n")


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "models")
    folder.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    tokenizer = tiny_models.make_tokenizer(VOCABULARY)
    for name, layout in tiny_models.LAYOUTS.items():
        write(folder, name, layout, layout.small, tokenizer)
    for name, dtype in (("llama", np.float32), ("phi3", np.float16)):  # rows in paired order; joint q, k, v and gate, up
        write_adapter(folder, name, tiny_models.LAYOUTS[name], tiny_models.LAYOUTS[name].small, tokenizer, dtype)
    write(folder, "quantized", tiny_models.LAYOUTS["llama"], QUANTIZED_SHAPE, tokenizer, quantize=True)
    write_encoders(folder)


if __name__ == "__main__":
    main()
