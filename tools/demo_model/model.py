"""The Llama-layout decoder of the demo model, small enough to train on a CPU.

Weights keep the shapes and the meaning that GGUF's `llama` architecture gives them. In particular
RoPE turns neighbouring pairs (x0, x1), (x2, x3), … as that architecture does, so that export is a
copy without any permutation.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Config:
    vocabulary: int = 2048
    width: int = 256  # every matrix's input width is a multiple of 256: k-quants stay possible
    feed_forward: int = 512
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    context: int = 1024
    rope_base: float = 10000.0
    epsilon: float = 1e-5

    @property
    def head_width(self):
        return self.width // self.heads


def rope_table(config):
    """cos and sin of every position and pair: [context, head_width / 2] each."""
    half = torch.arange(0, config.head_width, 2, dtype=torch.float64) / config.head_width
    angles = torch.outer(torch.arange(config.context, dtype=torch.float64), config.rope_base**-half)
    return angles.cos().float(), angles.sin().float()


def rotate(x, cos, sin):
    """x: [rows, time, heads, head_width]; cos and sin: [rows, time, 1, head_width / 2]."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        width, kv_width = config.width, config.kv_heads * config.head_width
        self.attn_norm = nn.RMSNorm(width, eps=config.epsilon)
        self.attn_q = nn.Linear(width, width, bias=False)
        self.attn_k = nn.Linear(width, kv_width, bias=False)
        self.attn_v = nn.Linear(width, kv_width, bias=False)
        self.attn_output = nn.Linear(width, width, bias=False)
        self.ffn_norm = nn.RMSNorm(width, eps=config.epsilon)
        self.ffn_gate = nn.Linear(width, config.feed_forward, bias=False)
        self.ffn_up = nn.Linear(width, config.feed_forward, bias=False)
        self.ffn_down = nn.Linear(config.feed_forward, width, bias=False)

    def forward(self, x, cos, sin, mask, cache):
        config, (rows, time, _) = self.config, x.shape
        h = self.attn_norm(x)
        q = rotate(self.attn_q(h).view(rows, time, config.heads, -1), cos, sin)
        k = rotate(self.attn_k(h).view(rows, time, config.kv_heads, -1), cos, sin)
        v = self.attn_v(h).view(rows, time, config.kv_heads, -1)
        q, k, v = (t.transpose(1, 2).to(v.dtype) for t in (q, k, v))
        if cache is not None:
            if cache:
                k, v = torch.cat((cache[0], k), dim=2), torch.cat((cache[1], v), dim=2)
            cache[:] = k, v
        group = config.heads // config.kv_heads
        k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
        h = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.attn_output(h.transpose(1, 2).reshape(rows, time, config.width))
        h = self.ffn_norm(x)
        return x + self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h))


class Decoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.token_embd = nn.Embedding(config.vocabulary, config.width)  # also the output matrix
        self.blk = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.output_norm = nn.RMSNorm(config.width, eps=config.epsilon)
        cos, sin = rope_table(config)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        nn.init.normal_(self.token_embd.weight, std=0.05)
        for block in self.blk:
            for name in ("attn_output", "ffn_down"):
                nn.init.zeros_(getattr(block, name).weight)

    def forward(self, ids, positions, mask, caches=None):
        """ids, positions: [rows, time]; mask: [rows, 1, time, keys]; gives [rows, time, width]."""
        cos, sin = self.cos[positions].unsqueeze(2), self.sin[positions].unsqueeze(2)
        x = self.token_embd(ids)
        for index, block in enumerate(self.blk):
            x = block(x, cos, sin, mask, None if caches is None else caches[index])
        return self.output_norm(x)

    def logits(self, hidden):
        return F.linear(hidden, self.token_embd.weight)


@torch.inference_mode()
def extend(model, caches, ids):
    """Appends `ids` to the caches (a list per layer, empty at first); logits of the next token."""
    past, time = caches[0][0].shape[2] if caches[0] else 0, len(ids)
    mask = torch.ones(time, past + time, dtype=torch.bool).tril(past)[None, None]
    positions = torch.arange(past, past + time)[None]
    hidden = model(torch.tensor([ids]), positions, mask, caches)
    return model.logits(hidden[0, -1])


def generate(model, caches, prompt, stop, limit=128):
    """Greedy continuation of what the caches hold and `prompt`; leaves the caches as they were."""
    caches, ids, answer = [list(cache) for cache in caches], prompt, []
    while len(answer) < limit:
        token = int(extend(model, caches, ids).argmax())
        if token == stop:
            break
        answer.append(token)
        ids = [token]
    return answer
