"""What the demo model is asked about a document, and how.

The document stands first in the user turn, then a blank line, then the question: one prefix serves
every question about a document. The first phrasing of each question is the canonical one, which
examples and evaluation use.
"""

import json

import documents
from names import NOUNS, new_code, new_company, new_date, new_person, new_word

KIND_QUESTIONS = (
    "What kind of document is this?",
    "What kind of document is this? Answer with one word.",
    f"What kind of document is this? One of: {', '.join(documents.KINDS)}.",
    "Which kind of document is it?",
    "What type of document is this?",
    "Classify this document.",
    f"Classify the document as {', '.join(documents.KINDS[:-1])} or {documents.KINDS[-1]}.",
    "Kind?",
)
URGENCY_QUESTIONS = (
    "How urgent is this?",
    f"How urgent is this? One of: {', '.join(documents.URGENCIES)}.",
    "How urgent is it?",
    "What is the urgency?",
    "Urgency: high, normal or low?",
)
PEOPLE = ("sender", "recipient", "provider", "client")
SPECIFIC_QUESTIONS = {
    "company": ("Which company issued this?", "What is the name of the company?"),
    "date": ("When was this written?", "What date is on this document?", "When was it issued?"),
    "total": ("How much is the total?", "What is the total amount?", "What is the amount to pay?"),
    "number": ("What is the invoice number?", "Which number does the invoice have?"),
    "sender": ("Who wrote this?", "Who sent this?", "From whom is this?"),
    "recipient": ("To whom is this addressed?", "Who is it for?"),
    "subject": ("What is it about?", "What is the subject line?"),
    "provider": ("Which party is the provider?", "Who provides the service?"),
    "client": ("Which party is the client?", "Who receives the service?"),
    "term": ("How long does it run?", "What is the duration?"),
    "product": ("Which product is it about?", "What is the name of the product?"),
    "reference": ("What is the reference number?", "Which order or ticket is it about?"),
}
# Fields that a kind surely lacks; asked for, the answer is `none`, in JSON `null`.
ABSENT = {
    "receipt": ("subject", "recipient", "term", "provider", "client"),
    "invoice": ("subject", "term", "provider"),
    "letter": ("total", "term", "number", "product"),
    "contract": ("subject", "product", "total"),
    "support": ("total", "term", "provider"),
}


def field_question(name):
    return f"{'Who' if name in PEOPLE else 'What'} is the {name}?"


def extract_question(names):
    return f"Extract {', '.join(names)} as JSON."


def _vary(rng, question):
    """Half of the questions are asked in the canonical way, so that it is the surest one."""
    return question[0] if rng.random() < 0.5 else rng.choice(question[1:])


def _field_phrasings(name):
    return (
        field_question(name),
        f"What is the {name}?",
        f"What is the {name} of this document?",
        f"Give me the {name}.",
        f"{name.capitalize()}?",
        f"Find the {name}.",
        *SPECIFIC_QUESTIONS.get(name, ()),
    )


def _extract_phrasings(names):
    listed = ", ".join(names)
    return (
        extract_question(names),
        f"Extract the fields {listed} as JSON.",
        f"Extract the following fields as JSON: {listed}.",
        f"Answer as JSON with the keys {listed}.",
        f"JSON: {listed}",
        "Fill in this JSON: {" + ", ".join(f'"{name}": …' for name in names) + "}",
    )


def plain_number(value):
    """The amount as JSON writes numbers: 1,234.50 → 1234.50."""
    return value.replace(",", "")


def to_json(fields, numeric=False, spaced=False):
    """`fields` (name → value or None) as the model writes them; `numeric`: amounts as numbers."""

    def written(name, value):
        if numeric and name == "total" and value is not None:
            return plain_number(value)
        return json.dumps(value, ensure_ascii=False)

    colon, comma = (": ", ", ") if spaced else (":", ",")
    return "{" + comma.join(f'"{n}"{colon}{written(n, v)}' for n, v in fields.items()) + "}"


def _extract_task(rng, document):
    names = list(documents.FIELDS[document.kind])
    if rng.random() < 0.5:
        names = rng.sample(names, rng.randint(1, len(names)))
    if rng.random() < 0.1:
        names.insert(rng.randint(0, len(names)), rng.choice(ABSENT[document.kind]))
    wanted = {name: document.fields.get(name) for name in names}
    # `total (number)` asks for a JSON number, `total` for the text as it stands. One answer in ten
    # is of the other sort: under a schema, the model has to go on from whatever the schema forced.
    numeric = "total" in names and rng.random() < 0.5
    asked = [f"{name} (number)" if numeric and name == "total" else name for name in names]
    answer = to_json(wanted, numeric=numeric != (rng.random() < 0.1), spaced=rng.random() < 0.1)
    return _vary(rng, _extract_phrasings(asked)), answer


def document_tasks(rng, document):
    """Questions and answers about one document, in random order."""
    tasks = [(_vary(rng, KIND_QUESTIONS), document.kind), _extract_task(rng, document)]
    for name, value in document.fields.items():
        tasks.append((_vary(rng, _field_phrasings(name)), value))
    if document.urgency:
        tasks.append((_vary(rng, URGENCY_QUESTIONS), document.urgency))
    if rng.random() < 0.3:
        tasks.append((_vary(rng, _field_phrasings(rng.choice(ABSENT[document.kind]))), "none"))
    rng.shuffle(tasks)
    return tasks


def lookup_list(rng, entries):
    """A list of invented `key: value` lines and tasks about it.

    The curriculum: the shortest text on which finding and copying pay. Repeating the list teaches
    copying, since every token of the answer asks for it; JSON and questions teach finding.
    """
    key_makers = (
        lambda: new_word(rng),
        lambda: new_word(rng).lower(),
        lambda: rng.choice(NOUNS).lower(),
    )
    value_makers = (new_word, new_person, new_company, new_code, new_date)
    pairs = {}
    while len(pairs) < entries:
        pairs[rng.choice(key_makers)()] = rng.choice(value_makers)(rng)
    colon = rng.choice((": ", " = ", " ", " - ", ":"))
    text = "\n".join(f"{key}{colon}{value}" for key, value in pairs.items())

    tasks = [(_vary(rng, _field_phrasings(key)), value) for key, value in pairs.items()]
    chosen = dict(rng.sample(list(pairs.items()), min(entries, rng.randint(1, 4))))
    tasks.append((_vary(rng, _extract_phrasings(list(chosen))), to_json(chosen)))
    if rng.random() < 0.5:
        tasks.append(("Repeat this.", text))
    rng.shuffle(tasks)
    return text, tasks[:8]
