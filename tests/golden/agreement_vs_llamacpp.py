#!/usr/bin/env python3
"""How far Minnow's next-token distributions are from llama.cpp's on the same files.

  agreement_vs_llamacpp.py --minnow PATH --llama-perplexity PATH [-c 512] [--chunks 2] [--text FILE] MODEL.gguf...

For each model both score the same text, each with its defaults. Prints a Markdown table of the mean
KL(llama.cpp || Minnow) and of how often both put the same token first; ends with 1 where a model is worse than the
bound of its type, which is read from the file (general.file_type). The bounds are about twice the distance of two
other correct implementations. Needs numpy and gguf.
"""
import argparse
import pathlib
import shlex
import sys
import tempfile

import gguf
import numpy as np

import runners

# file type: (largest mean KL, smallest share of equal top tokens)
BOUNDS = {
    gguf.LlamaFileType.ALL_F32: (1e-4, 0.985),
    gguf.LlamaFileType.MOSTLY_F16: (1e-4, 0.985),
    gguf.LlamaFileType.MOSTLY_Q8_0: (5e-3, 0.90),
    gguf.LlamaFileType.MOSTLY_Q4_K_M: (1e-2, 0.88),
}
OTHERS = (2e-2, 0.85)
EXACT = BOUNDS[gguf.LlamaFileType.ALL_F32]
ROWS_AT_ONCE = 32


def file_type(model):
    return gguf.LlamaFileType(gguf.GGUFReader(model).get_field("general.file_type").contents())


def plain_text(words):
    """ASCII words and single blanks: nothing that two tokenizers could split differently."""
    lexicon = ("time year people way day man thing woman life child world school state family student group "
               "country problem hand part place case week company system program question work government "
               "number night point home water room mother area money story fact month lot right study book eye "
               "job word business issue side kind head house service friend father power hour game line end "
               "member law car city community name").split()
    rng = np.random.default_rng(7)
    return " ".join(rng.choice(lexicon, words))


def write_meaning(model, path):
    """The same model in F32."""
    reader = gguf.GGUFReader(model)
    writer = gguf.GGUFWriter(path, reader.get_field("general.architecture").contents())
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        array = field.types[0] == gguf.GGUFValueType.ARRAY
        writer.add_key_value(field.name, field.contents(), field.types[0], field.types[-1] if array else None)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, gguf.dequantize(tensor.data, tensor.tensor_type))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def compare(peer, logits):
    """(mean KL, share of equal top tokens). Entries that the peer's file cut off are left out on both sides."""
    kl, same = [], 0
    for i in range(0, len(logits), ROWS_AT_ONCE):
        p, q = peer.log_probs[i:i + ROWS_AT_ONCE].astype(np.float64), logits[i:i + ROWS_AT_ONCE].astype(np.float64)
        same += (p.argmax(axis=1) == q.argmax(axis=1)).sum()
        known = np.isfinite(p)
        p, q = runners.log_softmax(p), runners.log_softmax(np.where(known, q, -np.inf))
        kl.append((np.exp(p) * np.subtract(p, q, out=np.zeros_like(p), where=known)).sum(axis=1))
    return np.concatenate(kl).mean(), same / len(logits)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minnow", required=True)
    parser.add_argument("--llama-perplexity", required=True)
    parser.add_argument("--minnow-args", default="", help="further arguments of `minnow perplexity`: --minnow-args=...")
    parser.add_argument("--llama-args", default="", help="further arguments of llama-perplexity: --llama-args=...")
    parser.add_argument("-c", "--context", type=int, default=512)
    parser.add_argument("--chunks", type=int, default=2)
    parser.add_argument("--text", type=pathlib.Path, help="default: random English words")
    parser.add_argument("--exact", action="store_true",
                        help="give llama.cpp the models in F32: for types that Minnow has no kernel for")
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    args = parser.parse_args()

    failed = False
    print("| model | type | predictions | mean KL | bound | same top token | bound | |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        text = args.text or pathlib.Path(folder) / "text.txt"
        if not args.text:
            text.write_text(plain_text(args.context * max(2, args.chunks) * 3 // 2))
        for model in args.models:
            kind = file_type(model)
            job = (text, args.context, args.chunks, folder)
            peer_model = pathlib.Path(folder) / "f32.gguf" if args.exact else model
            if args.exact:
                write_meaning(model, peer_model)
            peer = runners.peer_rows(args.llama_perplexity, peer_model, *job, shlex.split(args.llama_args))
            logits = runners.minnow_logits(args.minnow, model, *job, shlex.split(args.minnow_args))
            if logits.shape != peer.log_probs.shape:
                sys.exit(f"{model}: Minnow wrote {logits.shape} logits, llama.cpp {peer.log_probs.shape}")
            kl, same = compare(peer, logits)
            most_kl, least_same = EXACT if args.exact else BOUNDS.get(kind, OTHERS)
            ok = kl <= most_kl and same >= least_same
            failed |= not ok
            name = kind.name.removeprefix("MOSTLY_").removeprefix("ALL_")
            print(f"| {model.stem} | {name} | {len(logits)} | {kl:.1e} | {most_kl:.0e} "
                  f"| {same:.1%} | {least_same:.1%} | {'ok' if ok else '**worse**'} |", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
