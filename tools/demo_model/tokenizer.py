"""The demo model's tokenizer and chat form: byte-level BPE, GGUF's `gpt-2` kind.

Copying is easy when a value has the same tokens wherever it stands. So merges stay inside runs of
letters, of spaces, of newlines and of one repeated rule character: a space never joins the word
behind it, and every digit and every punctuation mark is a token of its own. The merges alone see to
that: at run time it is plain GPT-2 BPE with GPT-2's pre-tokenizer.
"""

import random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

import documents
import tasks

# Ids 0 … 5.
CONTROL = ("<|pad|>", "<|bos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
PAD, BOS, END, SYSTEM, USER, ASSISTANT = range(len(CONTROL))

TEMPLATE = """\
{{ bos_token }}{% for message in messages %}\
{% if message.role not in ['system', 'user', 'assistant'] %}\
{{ raise_exception('unknown role: ' + message.role) }}\
{% endif %}\
{{ '<|' + message.role + '|>' + message.content + '<|end|>' }}\
{% endfor %}\
{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"""

_ATOMS = r"\p{L}+|\p{N}| +|\n+|(?<rule>[-=*_.])\k<rule>+|."


def train(size, seed, texts=20000):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_ATOMS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.train_from_iterator(
        _corpus(random.Random(seed), texts),
        trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=list(CONTROL),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    # As GGUF has it: document text must never become a control token.
    tokenizer.encode_special_tokens = True
    return tokenizer


def _corpus(rng, texts):
    for _ in range(texts):
        document = documents.make_document(rng)
        yield document.text
        for question, answer in tasks.document_tasks(rng, document):
            yield f"{question} {answer}"


def load(path):
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.encode_special_tokens = True
    return tokenizer


def encode(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False).ids


def document_prefix(tokenizer, text):
    """The beginning of a user turn about a document: what all its questions share."""
    return [BOS, USER] + encode(tokenizer, text.rstrip())


def question_turn(tokenizer, question):
    """The rest of that turn, up to where the answer begins."""
    return encode(tokenizer, f"\n\n{question}") + [END, ASSISTANT]
