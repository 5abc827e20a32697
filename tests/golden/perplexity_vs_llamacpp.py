#!/usr/bin/env python3
"""Perplexity of small trained models, Minnow beside llama.cpp.

  perplexity_vs_llamacpp.py --minnow PATH --llama-perplexity PATH [--data DIR]

Random weights hide errors that perplexity would show, so this takes models that were trained: those under
DIR/models (default: MINNOW_DATA, else ../shared/data beside the source tree). stories260K comes as llama2.c's flat
file and is written as GGUF first. Ends with 1 where the two differ by more than 0.5 %. Needs numpy, gguf and
sentencepiece.
"""
import argparse
import os
import pathlib
import sys
import tempfile

import gguf
import numpy as np

import runners

BOUND = 0.005
CONTEXT = 128
STORY = """Once upon a time, there was a little girl named Lucy. She lived in a small house near the woods with her mom
and her dog, Max. Every morning Lucy and Max went for a walk. One day, they saw a big red balloon in a tree.
Lucy wanted the balloon, but the tree was too tall. "Can you help me, Max?" she asked. Max barked and ran
around the tree. A bird heard them and flew down. "I can help you," said the bird. The bird took the string
in its beak and pulled. The balloon came down, and Lucy was very happy. "Thank you, little bird!" she said.
Lucy gave the bird some bread. They played together until the sun went down. Then Lucy went home and told
her mom about her new friend. Her mom smiled and said, "It is good to help each other." The next day it was
raining. Tom sat by the window with his toy car. He was sad because he could not play outside. His dad came
in with a big box. "Let's make a boat," said his dad. Tom jumped up and clapped his hands. They cut the box
and painted it blue. Tom put his toy car in the boat. "Look, my car can swim!" he said. His dad laughed.
When the rain stopped, they took the boat to the park and put it in the water. It went fast. Tom was so
proud. A boy named Sam came and said, "I like your boat. Can I play too?" Tom said yes. They shared the boat
and became good friends. At the end of the day they were tired but happy.
"""


def write_stories260k(source, out):
    """llama2.c's legacy file: seven int32 sizes, then float32 arrays, each for all layers at once."""
    size = np.fromfile(source / "stories260K.bin", "<i4", 7)
    width, ffn, layers, heads, kv_heads, vocabulary, context = (int(x) for x in size)
    values = np.fromfile(source / "stories260K.bin", "<f4", offset=28)
    kv = width // heads * kv_heads
    at = 0

    def take(*shape):
        nonlocal at
        at += int(np.prod(shape))
        return values[at - int(np.prod(shape)):at].reshape(shape)

    outer = {"token_embd": take(vocabulary, width)}
    # Queries and keys are in paired order already, as GGUF wants them.
    blocks = {"attn_norm": take(layers, width), "attn_q": take(layers, width, width), "attn_k": take(layers, kv, width),
              "attn_v": take(layers, kv, width), "attn_output": take(layers, width, width),
              "ffn_norm": take(layers, width), "ffn_gate": take(layers, ffn, width),
              "ffn_down": take(layers, width, ffn), "ffn_up": take(layers, ffn, width)}
    outer["output_norm"] = take(width)

    w = gguf.GGUFWriter(out, "llama")
    w.add_name("stories260K")
    w.add_context_length(context)
    w.add_embedding_length(width)
    w.add_block_count(layers)
    w.add_feed_forward_length(ffn)
    w.add_head_count(heads)
    w.add_head_count_kv(kv_heads)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_rope_dimension_count(width // heads)
    w.add_rope_freq_base(10000.0)
    w.add_vocab_size(vocabulary)
    w.add_file_type(gguf.LlamaFileType.ALL_F32)
    add_sentencepiece(w, source / "tok512.model")
    for name, x in outer.items():
        w.add_tensor(f"{name}.weight", x)
    for name, x in blocks.items():
        for i in range(layers):
            w.add_tensor(f"blk.{i}.{name}.weight", x[i])
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def add_sentencepiece(w, path):
    from sentencepiece import SentencePieceProcessor
    pieces = SentencePieceProcessor(model_file=str(path))
    ids = range(pieces.vocab_size())

    def kind(i):
        return (gguf.TokenType.UNKNOWN if pieces.is_unknown(i) else gguf.TokenType.CONTROL if pieces.is_control(i)
                else gguf.TokenType.BYTE if pieces.is_byte(i) else gguf.TokenType.NORMAL)

    w.add_tokenizer_model("llama")
    w.add_token_list([pieces.id_to_piece(i) for i in ids])
    w.add_token_scores([pieces.get_score(i) for i in ids])
    w.add_token_types([kind(i) for i in ids])
    w.add_bos_token_id(pieces.bos_id())
    w.add_eos_token_id(pieces.eos_id())
    w.add_unk_token_id(pieces.unk_id())


def main():
    beside = pathlib.Path(__file__).resolve().parents[3] / "shared" / "data"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minnow", required=True)
    parser.add_argument("--llama-perplexity", required=True)
    parser.add_argument("--data", type=pathlib.Path, default=os.environ.get("MINNOW_DATA", beside))
    args = parser.parse_args()

    failed = False
    print("| model | tokens a chunk | llama.cpp | Minnow | difference | |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        text = folder / "story.txt"
        text.write_text(" ".join(STORY.split()))  # the models never saw a line end inside a sentence
        stories = folder / "stories260K.gguf"
        write_stories260k(args.data / "models" / "stories260K", stories)
        tiny = args.data / "models" / "tinystories-656k" / "TinyStories-656K-Q8_0.gguf"
        for model in (stories, tiny):
            theirs = runners.peer_perplexity(args.llama_perplexity, model, text, CONTEXT)
            ours = runners.minnow_perplexity(args.minnow, model, text, CONTEXT, 0)["perplexity"]
            ok = abs(ours / theirs - 1) <= BOUND
            failed |= not ok
            print(f"| {model.stem} | {CONTEXT} | {theirs:.4f} | {ours:.4f} | {ours / theirs - 1:+.2%} | "
                  f"{'ok' if ok else '**differs**'} |")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
