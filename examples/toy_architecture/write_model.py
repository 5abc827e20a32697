#!/usr/bin/env python3
"""Write starcoder2.gguf, a tiny StarCoder2 with random weights, and expected.json, what transformers makes of it.

expected.json: `prompt` with the `tokens` that greedy decoding continues it with, and `text` with its `perplexity` in
chunks of `context` tokens, the predictions at positions context/2 .. context-2 scored. Everything is seeded. Needs
torch, transformers, tokenizers, gguf, numpy; the tokenizer and the texts are those of tests/golden.
"""
import json
import math
import pathlib
import sys

import gguf
import numpy as np
import torch
import transformers

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parents[1] / "tests" / "golden"))
import tiny_models  # noqa: E402

VOCABULARY, CONTEXT = 272, 64
BLOCK_NAMES = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down",
}


def make_module():
    config = transformers.Starcoder2Config(
        vocab_size=VOCABULARY, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, sliding_window=None, use_bias=True,
        tie_word_embeddings=True, rope_parameters=dict(rope_type="default", rope_theta=10000.0),
        bos_token_id=0, eos_token_id=1, attn_implementation="eager")
    module = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, p in module.named_parameters():
            x = torch.randn(p.shape, generator=generator)
            if p.dim() == 1:
                p.copy_(1 + 0.2 * x if name.endswith("norm.weight") or "layernorm.weight" in name else 0.3 * x)
            else:  # matrices are stored as F16: the module computes with what the file says
                p.copy_((x * (1.0 if "embed" in name else 2.5) / math.sqrt(p.shape[1])).half().float())
    return module.eval()


def gguf_name(name):
    if not name.startswith("model.layers."):
        return {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
                "model.norm.bias": "output_norm.bias"}[name]
    _, _, layer, rest = name.split(".", 3)
    stem, kind = rest.rsplit(".", 1)
    return f"blk.{layer}.{BLOCK_NAMES[stem]}.{kind}"


def write_gguf(path, module, tokenizer):
    config = module.config
    w = gguf.GGUFWriter(path, "starcoder2")
    w.add_name("tiny random starcoder2")
    w.add_context_length(config.max_position_embeddings)
    w.add_embedding_length(config.hidden_size)
    w.add_block_count(config.num_hidden_layers)
    w.add_feed_forward_length(config.intermediate_size)
    w.add_head_count(config.num_attention_heads)
    w.add_head_count_kv(config.num_key_value_heads)
    w.add_layer_norm_eps(config.norm_epsilon)
    w.add_rope_freq_base(10000.0)
    bpe = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(bpe["vocab"], key=bpe["vocab"].get)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list(tokens)
    w.add_token_types([gguf.TokenType.CONTROL if i < 2 else gguf.TokenType.NORMAL for i in range(len(tokens))])
    w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in bpe["merges"]])
    w.add_bos_token_id(0)
    w.add_eos_token_id(1)
    w.add_add_bos_token(False)
    for name, p in module.named_parameters():
        x = p.detach().numpy()
        w.add_tensor(gguf_name(name), np.ascontiguousarray(x.astype(np.float16) if x.ndim == 2 else x))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def greedy(module, tokens, n):
    out = list(tokens)
    for _ in range(n):
        out.append(int(tiny_models.logits_of(module, [out])[0][-1].argmax()))
    return out[len(tokens):]


def perplexity(module, tokens):
    losses = []
    for begin in range(0, len(tokens) - CONTEXT + 1, CONTEXT):
        chunk = tokens[begin:begin + CONTEXT]
        logits = torch.from_numpy(tiny_models.logits_of(module, [chunk])[0]).double()
        log_p = torch.log_softmax(logits, dim=-1)
        losses += [-float(log_p[i, chunk[i + 1]]) for i in range(CONTEXT // 2, CONTEXT - 1)]
    return math.exp(sum(losses) / len(losses))


def main():
    torch.set_num_threads(1)
    tokenizer = tiny_models.make_tokenizer(VOCABULARY)
    module = make_module()
    write_gguf(FOLDER / "starcoder2.gguf", module, tokenizer)
    prompt, text = tiny_models.make_text(12, seed=8), tiny_models.make_text(120, seed=9)
    expected = {"prompt": prompt, "tokens": greedy(module, tokenizer.encode(prompt).ids, 24), "text": text,
                "context": CONTEXT, "perplexity": perplexity(module, tokenizer.encode(text).ids)}
    (FOLDER / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
