#!/usr/bin/env python3
"""Writes quant.txt beside this file from the published `gguf` package (pip install gguf).

Each line is `decode TYPE BYTES FLOATS` or `encode TYPE FLOATS BYTES`, in hex; a float is its 32 bits,
most significant digit first, NaN as 7fc00000.
"""
import pathlib

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize, quantize

rng = np.random.default_rng(20240607)
np.seterr(all="ignore")


def floats(x):
    bits = np.where(np.isnan(x), np.uint32(0x7FC00000), x.view(np.uint32))
    return "".join(f"{b:08x}" for b in bits)


def decode(name, n_blocks):
    """Random bytes: scales of every kind, now and then infinite or NaN."""
    kind = GGMLQuantizationType[name]
    elements, size = GGML_QUANT_SIZES[kind]
    raw = rng.integers(0, 256, (1, n_blocks * size), dtype=np.uint8)
    return f"decode {name} {raw.tobytes().hex()} {floats(dequantize(raw, kind).ravel())}"


def encode(name, x):
    kind = GGMLQuantizationType[name]
    x = np.asarray(x, np.float32).reshape(1, -1)
    return f"encode {name} {floats(x.ravel())} {quantize(x, kind).tobytes().hex()}"


lines = [decode(name, 64) for name in ("F16", "BF16")]
lines += [decode(name, 12) for name in ("Q8_0", "Q4_0", "Q5_0")]
lines += [decode(name, 3) for name in ("Q4_K", "Q5_K", "Q6_K")]
for name in ("Q8_0", "Q4_0", "Q5_0"):
    lines.append(encode(name, rng.standard_normal(128)))
    lines.append(encode(name, rng.integers(-16, 17, 64) / 2))  # ties, and equal extremes of both signs
    lines.append(encode(name, np.zeros(32)))
    lines.append(encode(name, rng.standard_normal(32) * 1e-6))  # an F16 scale that is subnormal
edges = [0.0, -0.0, 65504, 65519.99, 65520, -1e6, 6.1e-5, 5.96e-8, 2.98e-8, 2.99e-8, 1 / 3, np.inf, -np.inf]
lines += [encode(name, np.concatenate([edges, rng.standard_normal(64)])) for name in ("F16", "BF16")]
pathlib.Path(__file__).with_name("quant.txt").write_text("\n".join(lines) + "\n")
