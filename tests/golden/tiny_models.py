"""Tiny models with random weights, one per architecture layout, as transformers modules and as GGUF files.

The module is the oracle (float32, eager attention); the file holds the same weights under the names,
order and metadata that llama.cpp's converters write, so that what passes here passes on real files.
Sizes are free, constants are not real ones: windows, soft caps and rope scaling are chosen so small
that a runtime which ignores one of them is off by far more than rounding.
"""
import dataclasses
import json
import math
import random
from typing import Callable

import gguf
import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

LONGROPE_ORIGINAL_CONTEXT = 256  # llama.cpp pads its context to 256: shorter ones never meet the short factors there


@dataclasses.dataclass(frozen=True)
class Shape:
    """Sizes of one model. `heads * head_dim` need not be `width`."""
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    layers: int
    window: int

    def common(self, vocabulary):
        return dict(vocab_size=vocabulary, hidden_size=self.width, num_attention_heads=self.heads,
                    num_key_value_heads=self.kv_heads, intermediate_size=self.ffn,
                    num_hidden_layers=self.layers, max_position_embeddings=2048,
                    bos_token_id=0, eos_token_id=1, pad_token_id=None, attn_implementation="eager")


@dataclasses.dataclass(frozen=True)
class Layout:
    arch: str  # GGUF's general.architecture
    config: Callable[[Shape, int], transformers.PretrainedConfig]
    full: Shape  # for the comparison by script
    small: Shape  # for the files kept in models/
    contexts: tuple[int, ...] = (160,)  # context sizes worth comparing
    add_bos: bool = False
    peer_windows: bool = True  # False: llama.cpp ignores this layout's sliding window
    peer_bound: float = 1e-3  # largest difference of log-probabilities (nats) to llama.cpp


def _llama(s, v):
    scaling = dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0,
                   high_freq_factor=4.0, original_max_position_embeddings=256)
    return transformers.LlamaConfig(**s.common(v), head_dim=s.head_dim, tie_word_embeddings=True,
                                    rms_norm_eps=1e-5, rope_parameters=scaling)


def _mistral(s, v):
    return transformers.MistralConfig(**s.common(v), head_dim=s.head_dim, tie_word_embeddings=False,
                                      rms_norm_eps=1e-5, sliding_window=s.window,
                                      rope_parameters=dict(rope_type="default", rope_theta=10000.0))


def _qwen2(s, v):
    assert s.heads * s.head_dim == s.width
    return transformers.Qwen2Config(**s.common(v), tie_word_embeddings=True, rms_norm_eps=1e-6,
                                    use_sliding_window=False,
                                    rope_parameters=dict(rope_type="default", rope_theta=1e6))


def _phi3(s, v):
    assert s.heads * s.head_dim == s.width
    return transformers.Phi3Config(**s.common(v), tie_word_embeddings=False, rms_norm_eps=1e-5,
                                   sliding_window=s.window or None,
                                   rope_parameters=dict(rope_type="default", rope_theta=10000.0,
                                                        partial_rotary_factor=1.0))


def _phi3_longrope(s, v):
    pairs = s.head_dim // 2
    config = _phi3(s, v)
    config.original_max_position_embeddings = LONGROPE_ORIGINAL_CONTEXT
    config.rope_parameters = dict(
        rope_type="longrope", rope_theta=10000.0, partial_rotary_factor=1.0,
        original_max_position_embeddings=LONGROPE_ORIGINAL_CONTEXT,
        short_factor=[1.0 + 0.5 * i / pairs for i in range(pairs)],
        long_factor=[1.0 + 6.0 * i / pairs for i in range(pairs)])
    return config


def _gemma2(s, v):
    return transformers.Gemma2Config(**s.common(v), head_dim=s.head_dim, rms_norm_eps=1e-6,
                                     query_pre_attn_scalar=s.head_dim, sliding_window=s.window,
                                     attn_logit_softcapping=4.0, final_logit_softcapping=6.0,
                                     rope_parameters=dict(rope_type="default", rope_theta=10000.0))


def _mamba2(s, v):
    """`heads` of the state-space model, which share `kv_heads` groups of B and C."""
    assert s.heads * s.head_dim == 2 * s.width
    return transformers.Mamba2Config(vocab_size=v, hidden_size=s.width, num_heads=s.heads, head_dim=s.head_dim,
                                     n_groups=s.kv_heads, state_size=s.ffn, num_hidden_layers=s.layers, expand=2,
                                     conv_kernel=4, chunk_size=64, use_bias=False, use_conv_bias=True,
                                     layer_norm_epsilon=1e-5, rms_norm=True, tie_word_embeddings=True,
                                     time_step_limit=(0.0, float("inf")),
                                     bos_token_id=0, eos_token_id=1, pad_token_id=None)


LAYOUTS = {
    "llama": Layout("llama", _llama, Shape(256, 8, 2, 32, 512, 4, 0), Shape(64, 4, 2, 16, 64, 2, 0), add_bos=True),
    "mistral": Layout("llama", _mistral, Shape(256, 4, 2, 64, 512, 4, 32), Shape(64, 2, 1, 32, 64, 1, 40),
                      add_bos=True, peer_windows=False),
    "qwen2": Layout("qwen2", _qwen2, Shape(256, 4, 2, 64, 512, 4, 0), Shape(64, 4, 2, 16, 64, 1, 0)),
    "phi3": Layout("phi3", _phi3, Shape(192, 2, 2, 96, 512, 4, 32), Shape(64, 2, 2, 32, 64, 1, 40),
                   peer_windows=False),
    "phi3_longrope": Layout("phi3", _phi3_longrope, Shape(192, 2, 2, 96, 512, 4, 0), Shape(64, 2, 2, 32, 64, 1, 0),
                            contexts=(160, 320)),
    "gemma2": Layout("gemma2", _gemma2, Shape(256, 4, 2, 128, 512, 4, 32), Shape(64, 2, 1, 48, 64, 2, 40),
                     add_bos=True, peer_bound=5e-3),  # llama.cpp's GELU is a table of F16 values
    "mamba2": Layout("mamba2", _mamba2, Shape(128, 8, 2, 32, 32, 4, 0), Shape(48, 6, 2, 16, 12, 2, 0)),
}


def make_text(words, seed=1):
    """English-looking text with digits, punctuation, line breaks and letters outside ASCII."""
    rng = random.Random(seed)
    lexicon = ("the a of to and in is it was that for on with as at by he she they we you all one two river stone "
               "light evening market window garden letter sister captain number water paper never always under "
               "between running walked opened carried quietly little old green seventeen café naïve Zürich 東京 1984 "
               "3.14 don't we'll").split()
    out = []
    while len(out) < words:
        n = rng.randint(4, 11)
        out += [w.capitalize() if i == 0 else w for i, w in enumerate(rng.choices(lexicon, k=n))]
        out[-1] += rng.choice([".", ".", "?", "!", ";", ".\n", ",\n\n"])
    return " ".join(out)


def make_tokenizer(size):
    """A byte-level BPE of GPT-2's kind; ids 0 and 1 are <s> and </s>."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=["<s>", "</s>"], show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator([make_text(4000, seed=2)], trainer)
    assert tokenizer.get_vocab_size() == size
    return tokenizer


def make_module(layout, shape, vocabulary, query_gain=1.4, seed=1):
    """A transformers model whose norms and biases are far from neutral and whose attention is peaked."""
    module = transformers.AutoModelForCausalLM.from_config(layout.config(shape, vocabulary), dtype=torch.float32)
    generator = torch.Generator().manual_seed(seed)
    gemma = layout.arch == "gemma2"
    with torch.no_grad():
        for name, p in module.named_parameters():
            x = torch.randn(p.shape, generator=generator)
            if name.endswith(("norm.weight", "norm_f.weight")):
                x = 0.2 * x if gemma else 1.0 + 0.2 * x
            elif name.endswith("dt_bias"):
                x = x - 2.0
            elif name.endswith("bias"):
                x = 0.3 * x
            elif name.endswith("A_log"):  # memories of a few tokens to hundreds
                x = 0.7 * x - 1.5
            elif name.endswith(".D"):
                x = 1.0 + 0.3 * x
            elif "conv1d" in name:
                x = 0.7 * x
            elif "embeddings" in name or "embed_tokens" in name or "lm_head" in name:
                x = x * 2.5 / math.sqrt(shape.width)
            else:
                x = x * (query_gain if "q_proj" in name else 1.4) / math.sqrt(p.shape[1])
            p.copy_(x)
    return module.eval()


def without_window(module):
    """The same weights with every layer attending to everything: what llama.cpp makes of some layouts."""
    config = module.config
    config.sliding_window = None
    full = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    full.load_state_dict(module.state_dict())
    return full.eval()


def logits_of(module, chunks):
    """float32 logits [chunk, position, vocabulary]; every chunk is a sequence of its own."""
    with torch.no_grad():
        return module(input_ids=torch.tensor(chunks), use_cache=False).logits.float().numpy()


def interleave(weight, heads):
    """Rows of each head from rope's half-split order (transformers) to its paired order (GGUF's llama)."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def _split(weight, heads):
    """The inverse of interleave."""
    return weight.reshape(heads, weight.shape[0] // heads // 2, 2, -1).swapaxes(1, 2).reshape(weight.shape)


BLOCK_NAMES = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.qkv_proj": "attn_qkv", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.gate_up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}
GEMMA2_BLOCK_NAMES = BLOCK_NAMES | {
    "post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
MAMBA2_BLOCK_NAMES = {
    "norm.weight": "attn_norm.weight", "mixer.in_proj.weight": "ssm_in.weight",
    "mixer.conv1d.weight": "ssm_conv1d.weight", "mixer.conv1d.bias": "ssm_conv1d.bias",
    "mixer.dt_bias": "ssm_dt.bias", "mixer.A_log": "ssm_a", "mixer.D": "ssm_d",
    "mixer.norm.weight": "ssm_norm.weight", "mixer.out_proj.weight": "ssm_out.weight",
}
OUTER_NAMES = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
               "lm_head.weight": "output.weight", "backbone.embeddings.weight": "token_embd.weight",
               "backbone.norm_f.weight": "output_norm.weight"}


def gguf_name(layout, name):
    if name in OUTER_NAMES:
        return OUTER_NAMES[name]
    _, _, index, rest = name.split(".", 3)
    if layout.arch == "mamba2":
        return f"blk.{index}.{MAMBA2_BLOCK_NAMES[rest]}"
    stem, kind = rest.rsplit(".", 1)
    return f"blk.{index}.{(GEMMA2_BLOCK_NAMES if layout.arch == 'gemma2' else BLOCK_NAMES)[stem]}.{kind}"


def paired_heads(layout, shape, gguf_name):
    """How many heads' rows stand in paired order in this tensor; 0 for none."""
    if layout.arch != "llama":
        return 0
    return shape.heads if ".attn_q." in gguf_name else shape.kv_heads if ".attn_k." in gguf_name else 0


def gguf_tensors(layout, shape, module):
    """(GGUF name, float32 array) of every tensor, in GGUF's conventions."""
    for name, p in module.named_parameters():
        name, x = gguf_name(layout, name), p.detach().numpy()
        if layout.arch == "gemma2" and name.endswith("norm.weight"):
            x = x + 1.0
        if heads := paired_heads(layout, shape, name):
            x = interleave(x, heads)
        yield name, _mamba2_form(shape, name, x) if layout.arch == "mamba2" else x
    if layout.arch == "mamba2":
        return
    rope = module.config.rope_parameters
    if rope["rope_type"] == "llama3":
        yield "rope_freqs.weight", _llama3_factors(rope, shape.head_dim)
    if rope["rope_type"] == "longrope":
        yield "rope_factors_long.weight", np.array(rope["long_factor"], np.float32)
        yield "rope_factors_short.weight", np.array(rope["short_factor"], np.float32)


def _mamba2_form(shape, name, x):
    if name.endswith("ssm_a"):
        return -np.exp(x)[:, None]
    if name.endswith("ssm_d"):
        return x[:, None]
    if name.endswith("ssm_conv1d.weight"):
        return x[:, 0, :]
    return x.reshape(shape.kv_heads, -1) if name.endswith("ssm_norm.weight") else x


def set_from_gguf(layout, shape, module, gguf_name, x):
    """Give the module a matrix that stands in GGUF's order."""
    if heads := paired_heads(layout, shape, gguf_name):
        x = _split(x, heads)
    with torch.no_grad():
        [p] = [p for name, p in module.named_parameters() if gguf_name(layout, name) == gguf_name]
        p.copy_(torch.from_numpy(np.ascontiguousarray(x)))


def write_adapter(path, layout, pairs, alpha):
    """Write a LoRA adapter as llama.cpp's convert_lora_to_gguf.py does: `pairs` maps names of matrices, in GGUF's
    order of rows, to (A [rank, in], B [out, rank])."""
    w = gguf.GGUFWriter(path, layout.arch)
    w.add_type("adapter")
    w.add_string("adapter.type", "lora")
    w.add_float32("adapter.lora.alpha", alpha)
    for name, (a, b) in pairs.items():
        w.add_tensor(f"{name}.lora_a", np.ascontiguousarray(a))
        w.add_tensor(f"{name}.lora_b", np.ascontiguousarray(b))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def _llama3_factors(rope, head_dim):
    """Divisors of rope's frequencies: 1 for short waves, `factor` for long ones, a blend between."""
    frequencies = rope["rope_theta"] ** (-np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
    waves = rope["original_max_position_embeddings"] * frequencies / (2 * np.pi)  # per original context
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    blend = np.clip((waves - low) / (high - low), 0.0, 1.0)
    return (1.0 / ((1.0 - blend) / rope["factor"] + blend)).astype(np.float32)


def write_gguf(path, layout, shape, module, tokenizer, quantized=None):
    """Write the model. `quantized` maps tensor names to (raw bytes, GGML type) that replace the float32 ones."""
    config = module.config
    w = gguf.GGUFWriter(path, layout.arch)
    w.add_name("tiny random model")  # a name that says phi3 makes llama.cpp look for Phi-3's own control tokens
    w.add_file_type(gguf.LlamaFileType.GUESSED if quantized else gguf.LlamaFileType.ALL_F32)
    if layout.arch == "mamba2":
        _add_mamba2_keys(w, config, shape)
    else:
        _add_attention_keys(w, layout, config, shape)
    _add_tokenizer(w, layout, tokenizer)

    for name, x in gguf_tensors(layout, shape, module):
        if quantized and name in quantized:
            raw, kind = quantized[name]
            w.add_tensor(name, raw, raw_dtype=kind)
        else:
            w.add_tensor(name, np.ascontiguousarray(x, np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def write_folder(path, layout, module, tokenizer):
    """Write the model as transformers does: config.json, model.safetensors, tokenizer.json."""
    module.save_pretrained(path)
    fast = Tokenizer.from_str(tokenizer.to_str())
    if layout.add_bos:
        fast.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    transformers.PreTrainedTokenizerFast(tokenizer_object=fast, bos_token="<s>", eos_token="</s>").save_pretrained(path)


def _add_mamba2_keys(w, config, shape):
    w.add_context_length(2**20)
    w.add_embedding_length(shape.width)
    w.add_block_count(shape.layers)
    w.add_feed_forward_length(0)
    w.add_head_count(0)
    w.add_ssm_conv_kernel(config.conv_kernel)
    w.add_ssm_inner_size(2 * shape.width)
    w.add_ssm_state_size(config.state_size)
    w.add_ssm_time_step_rank(shape.heads)
    w.add_ssm_group_count(config.n_groups)
    w.add_layer_norm_rms_eps(config.layer_norm_epsilon)


def _add_attention_keys(w, layout, config, shape):
    rope = config.rope_parameters
    w.add_context_length(config.max_position_embeddings)
    w.add_embedding_length(shape.width)
    w.add_block_count(shape.layers)
    w.add_feed_forward_length(shape.ffn)
    w.add_head_count(shape.heads)
    w.add_head_count_kv(shape.kv_heads)
    w.add_layer_norm_rms_eps(config.rms_norm_eps)
    if layout.arch == "gemma2":  # its converter writes no rope keys: the defaults are the model's
        w.add_key_length(shape.head_dim)
        w.add_value_length(shape.head_dim)
        w.add_attn_logit_softcapping(config.attn_logit_softcapping)
        w.add_final_logit_softcapping(config.final_logit_softcapping)
    else:
        w.add_rope_freq_base(rope["rope_theta"])
    if layout.arch in ("llama", "phi3"):
        w.add_rope_dimension_count(shape.head_dim)
    if layout.arch == "llama":
        w.add_vocab_size(config.vocab_size)
        w.add_key_length(shape.head_dim)
        w.add_value_length(shape.head_dim)
    if layout.arch == "phi3":
        w.add_rope_scaling_orig_ctx_len(config.original_max_position_embeddings)
    if rope["rope_type"] == "longrope":
        scale = config.max_position_embeddings / LONGROPE_ORIGINAL_CONTEXT
        w.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(scale) / math.log(LONGROPE_ORIGINAL_CONTEXT)))
    if shape.window:
        w.add_sliding_window(shape.window)


def _add_tokenizer(w, layout, tokenizer):
    bpe = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(bpe["vocab"], key=bpe["vocab"].get)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list(tokens)
    w.add_token_types([control if i < 2 else normal for i in range(len(tokens))])
    w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in bpe["merges"]])
    w.add_bos_token_id(0)
    w.add_eos_token_id(1)
    w.add_add_bos_token(layout.add_bos)
