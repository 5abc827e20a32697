#!/usr/bin/env python3
"""Trains the demo model from scratch on a CPU: about 30 minutes on two idle cores.

    python3 train.py --out /tmp/demo            then export.py and evaluate.py

Every batch is made fresh from (seed, step), so a run that is started again goes on from its last
checkpoint with the data it would have seen. A training row holds *trees*: a document once, as a
prefix, and several questions with their answers as branches that see the prefix and themselves
only. That is exactly what a runtime with prefix sharing computes later, and it makes half of all
tokens answers.
"""

import argparse
import math
import pathlib
import random
import time

import torch
import torch.nn.functional as F

import documents
import tasks
import tokenizer as tok
from model import Config, Decoder

ROW = 384  # tokens per training row
LOOKUP_STEPS = 400  # pure curriculum; over as many steps again documents take its place
PROMPT_WEIGHT = 0.1  # of the loss on document text, relative to answers
SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You read documents and answer questions about them.",
    "Answer briefly.",
    "Answer with the exact words of the document.",
)


# --- Data ----------------------------------------------------------------------------------------


def lookup_share(step):
    """How much of the data is the curriculum: all of it until copying works, in the end a tenth."""
    return min(1.0, max(0.1, 1.0 - (step - LOOKUP_STEPS) / LOOKUP_STEPS))


def make_tree(rng, step):
    """(prefix text, [(question, answer), …])"""
    if rng.random() < lookup_share(step):
        return tasks.lookup_list(rng, rng.randint(2, 4 + min(10, 10 * step // LOOKUP_STEPS)))
    document = documents.make_document(rng)
    return document.text, tasks.document_tasks(rng, document)


class Row:
    """One training row while it is filled."""

    def __init__(self):
        self.ids, self.positions, self.trees, self.branches = [], [], [], []
        self.targets, self.weights = [], []

    def room(self):
        return ROW - len(self.ids)

    def append(self, ids, positions, tree, branch, weights):
        """`weights[i]` is the loss weight of predicting ids[i + 1] from ids[i]."""
        self.ids += ids
        self.positions += positions
        self.trees += [tree] * len(ids)
        self.branches += [branch] * len(ids)
        self.targets += ids[1:] + [tok.PAD]
        self.weights += weights + [0.0]


def prefix_of(rng, tokenizer, text):
    """Tokens up to the end of the document."""
    ids = [tok.BOS]
    if rng.random() < 0.12:
        ids += [tok.SYSTEM] + tok.encode(tokenizer, rng.choice(SYSTEM_PROMPTS)) + [tok.END]
    return ids + [tok.USER] + tok.encode(tokenizer, text)


def prefix_positions(rng, length, step):
    """Positions of a prefix, now and then with a gap, as if a part of the document were left out.

    So attention sees distances up to the whole context at the price of short rows.
    """
    if step < 2 * LOOKUP_STEPS or rng.random() < 0.7:
        return list(range(length))
    cut, gap = rng.randrange(length), rng.randrange(Config.context - 2 * ROW)
    return list(range(cut)) + list(range(cut + gap, length + gap))


def branch_of(rng, tokenizer, questions):
    """Takes a question, or two as two turns: tokens and loss weights."""
    ids, weights = [], []
    turns = 2 if len(questions) > 1 and rng.random() < 0.1 else 1
    for turn in range(turns):
        question, answer = questions.pop()
        # A file's last newline may or may not have been stripped.
        lead = rng.choice(("\n\n", "\n\n", "\n\n", "\n\n\n")) if turn == 0 else ""
        asked = tok.encode(tokenizer, lead + question) + [tok.END, tok.ASSISTANT]
        if turn > 0:
            asked = [tok.USER] + asked
        answered = tok.encode(tokenizer, answer) + [tok.END]
        ids += asked + answered
        weights += [0.0] * len(asked) + [1.0] * len(answered)
    return ids, weights[1:]


def fill_row(rng, tokenizer, step):
    row, tree, branch, misfits = Row(), 0, 0, 0
    while misfits < 3:
        text, questions = make_tree(rng, step)
        prefix = prefix_of(rng, tokenizer, text)
        if len(prefix) + 40 > row.room():  # hardly a question would fit behind it
            misfits += 1
            continue
        tree += 1
        positions = prefix_positions(rng, len(prefix), step)
        row.append(prefix, positions, tree, 0, [PROMPT_WEIGHT] * (len(prefix) - 1))
        while questions:
            ids, weights = branch_of(rng, tokenizer, questions)
            if len(ids) <= row.room():
                branch += 1
                first = positions[-1] + 1
                row.append(ids, list(range(first, first + len(ids))), tree, branch, weights)
    if row.room():
        row.append([tok.PAD] * row.room(), [0] * row.room(), 0, 0, [0.0] * (row.room() - 1))
    return row


class Batches(torch.utils.data.IterableDataset):
    """Batches [first, last) of a run, each a function of the seed and its number alone."""

    def __init__(self, tokenizer_path, seed, rows, first, last):
        self.tokenizer_path, self.seed, self.rows = tokenizer_path, seed, rows
        self.first, self.last = first, last

    def __iter__(self):
        tokenizer = tok.load(self.tokenizer_path)
        for step in range(self.first, self.last):
            rng = random.Random(f"{self.seed}/{step}")
            rows = [fill_row(rng, tokenizer, step) for _ in range(self.rows)]
            names = ("ids", "positions", "trees", "branches", "targets", "weights")
            yield {name: torch.tensor([getattr(row, name) for row in rows]) for name in names}


def attention_mask(batch):
    """A token sees what came before it in its tree's prefix and in its own branch."""
    trees, branches = batch["trees"], batch["branches"]
    same_tree = trees[:, :, None] == trees[:, None, :]
    visible = (branches[:, None, :] == 0) | (branches[:, :, None] == branches[:, None, :])
    return (same_tree & visible).tril()[:, None]


# --- Optimiser -----------------------------------------------------------------------------------


class Muon(torch.optim.Optimizer):
    """Momentum whose update is replaced by the nearest (semi-)orthogonal matrix.

    Five Newton-Schulz steps do that; on short runs from scratch it needs far fewer steps than Adam.
    Matrices of one shape are treated together.
    """

    def __init__(self, parameters, lr, momentum=0.95, weight_decay=0.01):
        super().__init__(parameters, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            by_shape = {}
            for p in group["params"]:
                by_shape.setdefault(p.shape, []).append(p)
            for shape, parameters in by_shape.items():
                updates = []
                for p in parameters:
                    buffer = self.state[p].setdefault("momentum", torch.zeros_like(p))
                    buffer.lerp_(p.grad, 1 - group["momentum"])
                    updates.append(p.grad.lerp(buffer, group["momentum"]))
                scale = group["lr"] * max(1.0, shape[0] / shape[1]) ** 0.5
                for p, update in zip(parameters, orthogonal(torch.stack(updates))):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-scale)


def orthogonal(g):
    """Newton-Schulz: drives all singular values of each matrix of the stack towards one."""
    tall = g.shape[1] > g.shape[2]
    x = (g.mT if tall else g).bfloat16()
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return (x.mT if tall else x).float()


# --- The run -------------------------------------------------------------------------------------


def learning_rate(progress):
    """A short warm-up, then a cosine down to a fiftieth; as a share of the highest rate."""
    if progress < 0.02:
        return progress / 0.02
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (progress - 0.02) / 0.98))


def answers_right(batch, correct):
    """Share of branches whose every answer token is the likeliest one, as greedy decoding needs."""
    answer = batch["weights"] == 1.0
    key = torch.arange(len(answer))[:, None] * 1000 + batch["branches"]
    asked = torch.unique(key[answer])
    wrong = torch.unique(key[answer & ~correct])
    return 1 - len(wrong) / max(1, len(asked))


def main():
    parser = argparse.ArgumentParser(description="Train the demo model.")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="a folder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=3200, help="batches")
    parser.add_argument("--rows", type=int, default=8, help=f"rows of {ROW} tokens per batch")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer_path, checkpoint_path = options.out / "tokenizer.json", options.out / "checkpoint.pt"
    if not tokenizer_path.exists():
        tok.train(Config.vocabulary, options.seed).save(str(tokenizer_path))

    model = Decoder(Config())
    matrices = [p for p in model.blk.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if not any(p is m for m in matrices)]
    optimizers = [
        Muon(matrices, lr=0.02),
        torch.optim.AdamW(others, lr=0.004, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    rates = [o.param_groups[0]["lr"] for o in optimizers]
    first = 0
    if checkpoint_path.exists():
        saved = torch.load(checkpoint_path)
        first = saved["step"]
        model.load_state_dict(saved["model"])
        for optimizer, state in zip(optimizers, saved["optimizers"]):
            optimizer.load_state_dict(state)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters:,} parameters, steps {first} to {options.steps}", flush=True)

    @torch.compile
    def losses(ids, positions, mask, targets):
        with torch.autocast("cpu", torch.bfloat16):
            logits = model.logits(model(ids, positions, mask)).float()
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        return loss.view_as(targets), logits.detach().argmax(-1) == targets

    def save(step):
        states = [optimizer.state_dict() for optimizer in optimizers]
        saved = {"step": step, "model": model.state_dict(), "optimizers": states}
        torch.save(saved, checkpoint_path)

    stream = Batches(tokenizer_path, options.seed, options.rows, first, options.steps)
    loader = torch.utils.data.DataLoader(stream, batch_size=None, num_workers=1, prefetch_factor=4)
    began = time.time()
    for step, batch in enumerate(loader, first):
        for optimizer, rate in zip(optimizers, rates):
            optimizer.param_groups[0]["lr"] = rate * learning_rate(step / options.steps)
        mask = attention_mask(batch)
        loss, correct = losses(batch["ids"], batch["positions"], mask, batch["targets"])
        weights = batch["weights"].float()
        ((loss * weights).sum() / weights.sum()).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if step % 20 == 19:
            answer, text = weights == 1.0, (weights > 0) & (weights < 1)
            minutes = (time.time() - began) / 60
            speed = (step + 1 - first) * options.rows * ROW / minutes / 60
            right = answers_right(batch, correct)
            print(
                f"step {step + 1}  loss of answers {loss[answer].mean():.3f}, of text "
                f"{loss[text].mean():.3f}  right {right:.3f}  {minutes:.1f} min, {speed:.0f} tokens/s",
                flush=True,
            )
        if step % 100 == 99:
            save(step + 1)
    save(options.steps)


if __name__ == "__main__":
    main()
