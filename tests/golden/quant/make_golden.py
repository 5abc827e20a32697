#!/usr/bin/env python3
"""Writes quant.txt beside this file from the published `gguf` package (pip install gguf).

Each line is `decode TYPE BYTES FLOATS` or `encode TYPE FLOATS BYTES`, in hex, or `digest TYPE BLOCKS SUM`. A float is
its 32 bits, most significant digit first, NaN as 7fc00000. A digest covers blocks of splitmix64's bytes, from seed 0,
little-endian: the sum modulo 2^64 of (2 i + 1) times the bits of float i.
"""
import pathlib

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize, quantize

rng = np.random.default_rng(20240607)
np.seterr(all="ignore")
DIGEST_BLOCKS = 4096


def bits_of(x):
    x = np.ascontiguousarray(x, np.float32)
    return np.where(np.isnan(x), np.uint32(0x7FC00000), x.view(np.uint32))


def floats(x):
    return "".join(f"{b:08x}" for b in bits_of(x))


def meaning(name, raw):
    """What the package makes of [1, bytes]; of types it leaves out, what the format says."""
    if name == "F64":
        return raw.view(np.float64).astype(np.float32)
    if name == "Q8_K":
        block = raw.reshape(-1, 292)
        return np.ascontiguousarray(block[:, :4]).view(np.float32) * block[:, 4:260].view(np.int8).astype(np.float32)
    return dequantize(raw, GGMLQuantizationType[name])


def decode(name, n_blocks):
    """Random bytes: scales of every kind, now and then infinite or NaN."""
    size = GGML_QUANT_SIZES[GGMLQuantizationType[name]][1]
    raw = rng.integers(0, 256, (1, n_blocks * size), dtype=np.uint8)
    return f"decode {name} {raw.tobytes().hex()} {floats(meaning(name, raw).ravel())}"


def encode(name, x):
    kind = GGMLQuantizationType[name]
    x = np.asarray(x, np.float32).reshape(1, -1)
    return f"encode {name} {floats(x.ravel())} {quantize(x, kind).tobytes().hex()}"


def splitmix64(n):
    """n bytes."""
    x = np.arange(1, (n + 7) // 8 + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (x ^ (x >> np.uint64(31))).view(np.uint8)[:n]


def digest(name):
    size = GGML_QUANT_SIZES[GGMLQuantizationType[name]][1]
    raw = splitmix64(DIGEST_BLOCKS * size).reshape(1, -1)
    bits = bits_of(meaning(name, raw).ravel()).astype(np.uint64)
    total = (bits * (2 * np.arange(len(bits), dtype=np.uint64) + np.uint64(1))).sum()
    return f"digest {name} {DIGEST_BLOCKS} {int(total):016x}"


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
lines.append(decode("F64", 16))
lines += [decode(name, 4) for name in ("Q4_1", "Q5_1", "IQ4_NL", "MXFP4", "NVFP4")]
CODEBOOKS = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S")
lines += [decode(name, 1) for name in ("Q2_K", "Q3_K", "Q8_K", *CODEBOOKS, "IQ4_XS", "TQ1_0", "TQ2_0")]
lines += [digest(kind.name) for kind in GGMLQuantizationType
          if kind.name not in ("I8", "I16", "I32", "I64", "Q8_1", "Q1_0")]
pathlib.Path(__file__).with_name("quant.txt").write_text("\n".join(lines) + "\n")
