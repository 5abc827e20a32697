"""Runs Minnow and llama.cpp over the same text and hands back what each predicted.

Both score a text alike: consecutive chunks of `context` tokens, each a sequence of its own, the first
token replaced by BOS where the model adds one, predictions counted at positions context/2 ... context-2.
"""
import dataclasses
import json
import pathlib
import re
import shlex
import struct
import subprocess

import numpy as np


def _run(command):
    command = [str(x) for x in command]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
    if done.returncode:
        raise RuntimeError(f"{shlex.join(command)}\nended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done


def minnow_perplexity(binary, model, text, context, chunks, extra=(), logits=None):
    """Minnow's JSON answer; with `logits`, a path, the scored rows are written there as .npy."""
    command = [binary, "perplexity", "-m", model, "-f", text, "-c", context, "--json", *extra]
    if chunks:
        command += ["--chunks", chunks]
    if logits:
        command += ["--logits", logits]
    return json.loads(_run(command).stdout)


def minnow_logits(binary, model, text, context, chunks, folder, extra=()):
    """float32 [rows, vocabulary]: the scored rows, chunk by chunk."""
    path = pathlib.Path(folder) / "minnow.npy"
    minnow_perplexity(binary, model, text, context, chunks, extra, path)
    rows = np.load(path)
    path.unlink()
    return rows


def peer_perplexity(binary, model, text, context, threads=2):
    """llama-perplexity's final estimate. It may end before its last lines are written: then it is asked again."""
    for _ in range(20):
        done = _run(_peer_command(binary, model, text, context, 0, [], threads))
        if found := re.search(r"Final estimate: PPL = ([0-9.]+)", done.stdout + done.stderr):
            return float(found.group(1))
    raise RuntimeError(f"{binary} never printed its final estimate for {model}")


def _peer_command(binary, model, text, context, chunks, extra, threads):
    # One chunk per batch: the peer would otherwise lay several side by side in one context.
    command = [binary, "-m", model, "-f", text, "-c", context, "-b", context, "-t", threads, *extra]
    return command + (["--chunks", chunks] if chunks else [])


@dataclasses.dataclass
class PeerRows:
    """What `llama-perplexity --kl-divergence-base` keeps: tokens and, per scored row, coarse log-probabilities.

    The file: "_logits_", int32 context, int32 vocabulary, int32 chunks, int32 tokens[chunks * context] (before
    BOS is put in), then for each chunk context - 1 - context/2 rows: f32 step, f32 lowest, uint16 code[vocabulary],
    padded to an even count. log p = lowest + step * code. Codes span the row's range but at most 16 nats below
    its top: whatever lies lower is cut off at code 0. So a log-probability is off by at most step/2, which is
    1.2e-4 for the widest rows, and only entries that were not cut off can be compared.
    """
    tokens: np.ndarray  # [chunks, context]
    vocabulary: int
    step: np.ndarray  # [rows]
    log_probs: np.ndarray  # [rows, vocabulary], float32; -inf where cut off


def peer_rows(binary, model, text, context, chunks, folder, extra=(), threads=2):
    path = pathlib.Path(folder) / "peer.kld"
    _run(_peer_command(binary, model, text, context, chunks, ["--kl-divergence-base", path, *extra], threads))
    data = path.read_bytes()
    path.unlink()
    assert data[:8] == b"_logits_"
    context, vocabulary, chunks = struct.unpack_from("<3i", data, 8)
    tokens = np.frombuffer(data, "<i4", chunks * context, 20).reshape(chunks, context)
    width = 2 * ((vocabulary + 1) // 2) + 4
    rows = np.frombuffer(data, "<u2", offset=20 + tokens.nbytes).reshape(-1, width)
    assert len(rows) == chunks * (context - 1 - context // 2)
    head = np.ascontiguousarray(rows[:, :4]).view("<f4")
    step, lowest = head[:, :1], head[:, 1:2]
    codes = rows[:, 4:4 + vocabulary]
    log_probs = codes.astype(np.float32) * step + lowest
    log_probs[(codes == 0) & (step * 65535 > 15.99)] = -np.inf
    return PeerRows(tokens, vocabulary, step[:, 0], log_probs)


def scored(logits, context):
    """The scored positions of [chunk, position, vocabulary], as rows."""
    return logits[:, context // 2: context - 1].reshape(-1, logits.shape[-1])


def log_softmax(rows):
    rows = rows - rows.max(axis=-1, keepdims=True)
    return rows - np.log(np.exp(rows).sum(axis=-1, keepdims=True))
