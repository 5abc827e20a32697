#!/usr/bin/env python3
"""Prints the codebooks of host/quant/codebooks.cc from the published `gguf` package (pip install gguf).

A codebook is a sorted set of points. Point i has the rank sum_k level_k * levels^k; what is printed are the
differences of neighbouring ranks, a character each: '(' is 0, 'Y' is 49, and '~' before it adds 50.
"""
import numpy as np
from gguf import quants

WIDTH = 88

for name in ("IQ1_S", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S"):
    codebook = getattr(quants, name)
    codebook.init_grid()
    points = codebook.grid.reshape(codebook.grid_shape)
    levels = np.searchsorted(codebook.grid_map, points)
    ranks = levels @ len(codebook.grid_map) ** np.arange(points.shape[1])
    steps = np.diff(ranks, prepend=0)
    assert steps.min() >= 0
    text = "".join("~" * (s // 50) + chr(ord("(") + s % 50) for s in steps)
    print(f"// {name}: {len(points)} points of {points.shape[1]} levels, values {list(map(int, codebook.grid_map))}")
    for i in range(0, len(text), WIDTH):
        print(f'    "{text[i:i + WIDTH]}"')
