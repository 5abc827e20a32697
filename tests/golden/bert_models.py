"""BERT encoders as GGUF files: a tiny one with random weights, and published ones from their folder.

The oracle is transformers' BertModel in float32 with eager attention. A file holds the names, order and metadata that
llama.cpp's converter writes: WordPieces with U+2581 where a word begins, nothing where it goes on.
"""
import gguf
import numpy as np
import torch
import transformers
from tokenizers import BertWordPieceTokenizer, processors

import tiny_models

POOLING = {"mean": gguf.PoolingType.MEAN, "cls": gguf.PoolingType.CLS}
NAMES = {
    "embeddings.word_embeddings": "token_embd", "embeddings.token_type_embeddings": "token_types",
    "embeddings.position_embeddings": "position_embd", "embeddings.LayerNorm": "token_embd_norm",
    "attention.self.query": "attn_q", "attention.self.key": "attn_k", "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output", "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up", "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm",
}
CONTROL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def make_tokenizer(size):
    tokenizer = BertWordPieceTokenizer(lowercase=True)
    tokenizer.train_from_iterator([tiny_models.make_text(4000, seed=2)], vocab_size=size, show_progress=False)
    assert tokenizer.get_vocab_size() == size
    sep, cls = (("[SEP]", tokenizer.token_to_id("[SEP]")), ("[CLS]", tokenizer.token_to_id("[CLS]")))
    tokenizer._tokenizer.post_processor = processors.BertProcessing(sep, cls)
    return tokenizer


def make_module(vocabulary, seed=1):
    """Weights that make attention peaked, norms and biases far from neutral, and every position count."""
    config = transformers.BertConfig(vocab_size=vocabulary, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                                     intermediate_size=48, max_position_embeddings=320, layer_norm_eps=1e-12,
                                     attn_implementation="eager")
    module = transformers.BertModel(config, add_pooling_layer=False)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in module.named_parameters():
            x = torch.randn(p.shape, generator=generator)
            if name.endswith("LayerNorm.weight"):
                x = 1.0 + 0.2 * x
            elif name.endswith("bias"):
                x = 0.3 * x
            elif "embeddings" not in name:
                x = x * (2.0 if "query" in name else 1.4) / p.shape[1]**0.5
            p.copy_(x)
    return module.eval()


def embed(module, ids, pooling):
    """The vector of one sequence, of length 1."""
    with torch.no_grad():
        rows = module(input_ids=torch.tensor([ids])).last_hidden_state[0]
    x = (rows.mean(dim=0) if pooling == "mean" else rows[0]).double().numpy()
    return x / np.linalg.norm(x)


def _gguf_name(name):
    stem, kind = name.rsplit(".", 1)
    if stem.startswith("encoder.layer."):
        index, stem = stem.removeprefix("encoder.layer.").split(".", 1)
        return f"blk.{index}.{NAMES[stem]}.{kind}"
    return f"{NAMES[stem]}.{kind}"


def _written(piece):
    if piece in CONTROL:
        return piece
    return piece[2:] if piece.startswith("##") else "\u2581" + piece


def write_gguf(path, module, pieces, pooling, matrix_type=None):
    """`pieces` in order of id; `matrix_type`: of the layers' matrices, F32 if None."""
    config = module.config
    w = gguf.GGUFWriter(path, "bert")
    w.add_name("a BERT encoder")
    w.add_context_length(config.max_position_embeddings)
    w.add_embedding_length(config.hidden_size)
    w.add_block_count(config.num_hidden_layers)
    w.add_feed_forward_length(config.intermediate_size)
    w.add_head_count(config.num_attention_heads)
    w.add_layer_norm_eps(config.layer_norm_eps)
    w.add_causal_attention(False)
    w.add_pooling_type(POOLING[pooling])
    w.add_tokenizer_model("bert")
    w.add_tokenizer_pre("bert-bge")
    w.add_token_type_count(config.type_vocab_size)
    w.add_token_list([_written(p) for p in pieces])
    w.add_token_types([gguf.TokenType.CONTROL if p in CONTROL else gguf.TokenType.NORMAL for p in pieces])
    w.add_unk_token_id(pieces.index("[UNK]"))
    w.add_sep_token_id(pieces.index("[SEP]"))
    w.add_pad_token_id(pieces.index("[PAD]"))
    w.add_uint32("tokenizer.ggml.cls_token_id", pieces.index("[CLS]"))
    for name, p in module.named_parameters():
        name, x = _gguf_name(name), np.ascontiguousarray(p.detach().numpy(), np.float32)
        matrix = x.ndim == 2 and name.startswith("blk.")
        if matrix_type is not None and matrix:
            w.add_tensor(name, gguf.quantize(x, matrix_type), raw_dtype=matrix_type)
        else:
            w.add_tensor(name, x)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
