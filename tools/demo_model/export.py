#!/usr/bin/env python3
"""Writes a trained demo model as GGUF.

python3 export.py --run /tmp/demo --type Q8_0 --out models/minnow-demo.Q8_0.gguf
"""

import argparse
import json
import pathlib

import gguf
import torch

import tokenizer as tok
from model import Config

TYPES = {
    "F32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "Q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}


def add_metadata(writer, config, file_type):
    writer.add_name("Minnow Demo")
    writer.add_author("The Minnow authors")
    writer.add_description("Sorts and reads short synthetic office documents.")
    writer.add_license("apache-2.0")
    writer.add_languages(["en"])
    writer.add_file_type(file_type)

    writer.add_vocab_size(config.vocabulary)
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.width)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.feed_forward)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_layer_norm_rms_eps(config.epsilon)
    writer.add_rope_dimension_count(config.head_width)
    writer.add_rope_freq_base(config.rope_base)


def add_tokenizer(writer, tokenizer_json):
    by_id = sorted(tokenizer_json["model"]["vocab"].items(), key=lambda entry: entry[1])
    assert [i for _, i in by_id] == list(range(Config.vocabulary))
    tokens = [token for token, _ in by_id]
    assert tokens[: len(tok.CONTROL)] == list(tok.CONTROL)
    control, normal = len(tok.CONTROL), len(tokens) - len(tok.CONTROL)
    kinds = [gguf.TokenType.CONTROL] * control + [gguf.TokenType.NORMAL] * normal
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in tokenizer_json["model"]["merges"]])
    writer.add_bos_token_id(tok.BOS)
    writer.add_eos_token_id(tok.END)
    writer.add_eot_token_id(tok.END)
    writer.add_unk_token_id(tok.PAD)  # byte-level BPE knows every text; readers only want an id
    writer.add_pad_token_id(tok.PAD)
    writer.add_add_bos_token(True)
    writer.add_chat_template(tok.TEMPLATE)


def main():
    parser = argparse.ArgumentParser(description="Write the trained demo model as GGUF.")
    parser.add_argument("--run", type=pathlib.Path, required=True, help="what train.py wrote")
    parser.add_argument("--type", choices=TYPES, default="Q8_0", help="of the matrices")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    tensor_type, file_type = TYPES[options.type]

    writer = gguf.GGUFWriter(options.out, "llama")
    add_metadata(writer, Config(), file_type)
    add_tokenizer(writer, json.loads((options.run / "tokenizer.json").read_text(encoding="utf-8")))
    for name, tensor in torch.load(options.run / "checkpoint.pt")["model"].items():
        data = tensor.numpy()
        if data.ndim == 2:
            data = gguf.quants.quantize(data, tensor_type)
            writer.add_tensor(name, data, raw_dtype=tensor_type)
        else:
            writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
