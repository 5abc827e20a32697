#!/usr/bin/env python3
"""Synthetic office documents with known answers.

Every document has a kind (receipt, invoice, letter, contract, support) and a few fields whose
values stand verbatim in its text. Documents are composed from parts (headings, tables, clauses,
sentences, separators) chosen at random, so that a model trained on them has to read: it cannot
remember the answers. Amounts, dates and names that are *not* the answer (subtotals, due dates,
other people) stand in the same texts on purpose.

The same seed always makes the same documents. Standard library only.

    python3 documents.py --seed 7 --count 24 --out DIR     DIR/001.txt …, DIR/../expected.jsonl
"""

import argparse
import json
import pathlib
import random
from dataclasses import dataclass

from names import (
    ADJECTIVES, CITIES, DATE_STYLES, FIRST_NAMES, NOUNS, SHOPS, TRADES, Money, digits, new_address,
    new_cents, new_code, new_company, new_date, new_email, new_person, new_phone, new_word, pick,
)  # fmt: skip

KINDS = ("receipt", "invoice", "letter", "contract", "support")
URGENCIES = ("high", "normal", "low")
FIELDS = {
    "receipt": ("company", "date", "total"),
    "invoice": ("number", "company", "date", "total"),
    "letter": ("sender", "recipient", "date", "subject"),
    "contract": ("provider", "client", "date", "term"),
    "support": ("sender", "product", "reference"),
}


@dataclass
class Document:
    kind: str
    text: str
    fields: dict  # name → value, verbatim in the text, in the order of FIELDS
    urgency: str | None = None  # support mails only: a judgement, not a span of the text


# --- Layout --------------------------------------------------------------------------------------


def _rule(rng):
    return rng.choice("--=-*_") * rng.choice((8, 16, 20, 24, 32, 40))


def _label(rng, names):
    """A label as forms write it: 'Total', 'TOTAL', 'total'."""
    name = pick(rng, names)
    return rng.choice((name, name, name, name.upper(), name.lower()))


def _pair(rng, label, value, width=0):
    """One 'label: value' line; `width` > 0 may put the value into a right-hand column."""
    if width and rng.random() < 0.6:
        room = max(2, width - len(label) - len(value))
        filler = rng.choice("   .") if room > 3 else " "
        return label + filler * room + value
    return label + pick(rng, ": |: |: | |:| : ") + value


def _centre(rng, lines):
    if rng.random() < 0.3:
        return [" " * rng.choice((2, 4, 6, 8)) + line for line in lines]
    return lines


def _paragraphs(rng, sentences):
    """Sentences as the lines of one or two paragraphs."""
    cut = rng.randint(1, len(sentences))
    blocks = [" ".join(part) for part in (sentences[:cut], sentences[cut:]) if part]
    return "\n\n".join(blocks).split("\n")


def _finish(rng, lines):
    """Joins the lines and adds the noise that scans and mail clients add."""
    text = []
    for line in lines:
        if rng.random() < 0.03:
            line = "  " + line
        text.append(line)
        if line and rng.random() < 0.02:
            text.append("")
    if rng.random() < 0.08:
        text.insert(0, pick(rng, "COPY|Page 1 of 1|SCANNED|- 1 -|ORIGINAL|DUPLICATE"))
    if rng.random() < 0.06:
        text.append(pick(rng, "Page 1 of 1|1/1|- 1 -|E. & O. E.|[end]"))
    return "\n".join(text).strip("\n")


# --- Receipts ------------------------------------------------------------------------------------

_GOODS = """
    Apples Bananas Batteries Bread Broom Butter Candles Carrots Cheese Chicken Chocolate Coffee
    Cookies Cups Eggs Envelopes Fish Flour Gloves Hammer Honey Ice Jam Juice Lamp Lemons Milk Mug
    Nails Napkins Noodles Notebook Nuts Oil Onions Oranges Paint Paper Pasta Pen Pepper Pizza Plates
    Potatoes Rice Rope Salad Salt Sandwich Screws Shampoo Soap Soup Sugar Tape Tea Tomatoes Towel
    Water Wine Yoghurt
""".split()


def _goods(rng):
    name = rng.choice(_GOODS)
    if rng.random() < 0.3:
        name = f"{rng.choice(ADJECTIVES)} {name}"
    if rng.random() < 0.2:
        name += f" {pick(rng, '2|3|4|6|10|12|100|250|500')}{pick(rng, 'g|kg|ml|x|pcs')}"
    return name


def _receipt_head(rng, company):
    head = [company]
    if rng.random() < 0.7:
        head += new_address(rng)
    if rng.random() < 0.4:
        head.append(new_phone(rng))
    if rng.random() < 0.3:
        head.append(f"{pick(rng, 'VAT|GST|Tax ID|Reg')} {pick(rng, 'no. ||No: ')}{digits(rng, 9)}")
    if rng.random() < 0.12:
        head.insert(0, pick(rng, "Welcome to|Thank you for shopping at|*** WELCOME ***"))
    lines = _centre(rng, head)
    if rng.random() < 0.5:
        lines.append(
            pick(rng, "RECEIPT|Receipt|SALES RECEIPT|Cash receipt|Your receipt|CASH BILL")
        )
    return lines


def _receipt_when(rng, date):
    clock = f" {rng.randint(7, 22):02}:{rng.randint(0, 59):02}" if rng.random() < 0.5 else ""
    if rng.random() < 0.6:
        lines = [_pair(rng, _label(rng, "Date|Date|Purchased|Sold on|Time"), date + clock)]
    else:
        lines = [date + clock]
    if rng.random() < 0.5:
        number = digits(rng, rng.randint(2, 7))
        lines.append(_pair(rng, pick(rng, "Receipt no|Till|Trans|Order|Slip"), number))
    if rng.random() < 0.4:
        label = pick(rng, "Cashier|Served by|Clerk|Staff")
        lines.append(_pair(rng, label, rng.choice(FIRST_NAMES)))
    rng.shuffle(lines)
    return lines


def _receipt(rng):
    money, width = Money(rng), rng.choice((0, 24, 28, 32, 36))
    company = new_company(rng, SHOPS if rng.random() < 0.8 else TRADES)
    shout = rng.random() < 0.35
    if shout:
        company = company.upper()
    date = new_date(rng)
    lines, when = _receipt_head(rng, company), _receipt_when(rng, date)
    date_first = rng.random() < 0.75
    if date_first:
        lines += when

    rule = _rule(rng) if rng.random() < 0.6 else ""
    lines.append(rule)
    subtotal = 0
    for _ in range(rng.randint(1, 7)):
        price = new_cents(rng, 0.4, 400 if rng.random() < 0.15 else 40)
        quantity = rng.choice((1, 1, 1, 2, 3, 4))
        subtotal += price * quantity
        name = _goods(rng)
        if quantity > 1:
            name = rng.choice((f"{quantity} x {name}", f"{name} x{quantity}", f"{quantity} {name}"))
        amount = money.number(price * quantity)
        lines.append(_pair(rng, name.upper() if shout else name, amount, width or 26))
    lines.append(rule)

    total = subtotal
    if rng.random() < 0.6:
        label = _label(rng, "Subtotal|Sub-total|Sub total|Net")
        lines.append(_pair(rng, label, money.show(subtotal), width))
        tax = subtotal * rng.choice((5, 6, 7, 8, 10, 19, 20)) // 100
        lines.append(_pair(rng, _label(rng, "Tax|VAT|GST|Sales tax"), money.show(tax), width))
        total += tax
    label = _label(rng, "Total|Total|Total|Grand total|Total due|Amount due|To pay")
    lines.append(_pair(rng, label, money.show(total), width))
    if rng.random() < 0.5:
        paid = total + rng.choice((0, 0, rng.randint(1, 2000)))
        label = _label(rng, "Cash|Card|Paid|Visa|Tendered")
        lines.append(_pair(rng, label, money.show(paid), width))
        label = _label(rng, "Change|Change due")
        lines.append(_pair(rng, label, money.show(paid - total), width))
    if not date_first:
        lines += when
    farewell = [
        "Thank you!", "THANK YOU, COME AGAIN", "Please keep this receipt.", "Have a nice day",
        "Goods sold are not returnable.", "Refunds within 14 days with receipt",
        "Follow us online", f"Points earned: {rng.randint(1, 300)}",
    ]  # fmt: skip
    lines += rng.sample(farewell, rng.choice((0, 1, 1, 2)))
    return _finish(rng, lines), {"company": company, "date": date, "total": money.number(total)}


# --- Invoices ------------------------------------------------------------------------------------

_WORK = (
    "Annual licence|Assembly|Cable set|Cleaning of offices|Consulting hours|Courier service|"
    "Data migration|Desk chairs|Display panels|Editing|Electrical work|Freight|Hosting|"
    "Installation|Inspection|Laptop stands|Legal review|Maintenance|Network setup|On-site visit|"
    "Office paper|Packaging|Photography|Printing of brochures|Project management|Pump repair|"
    "Safety training|Software support|Spare parts|Steel brackets|Storage|Survey|Translation|"
    "Travel costs|Website design"
)


def _invoice_head(rng, number, company, date, due, width):
    """Title, issuer, customer, and the number and dates, in an order of the issuer's own."""
    issuer = [pick(rng, "From: |Seller: |Issued by: |Supplier: |||||") + company]
    if rng.random() < 0.7:
        issuer += new_address(rng)
    if rng.random() < 0.3:
        issuer.append(new_phone(rng))
    bill_to = pick(rng, "Bill to|Billed to|To|Customer|Invoice to|Sold to|Client")
    customer = rng.choice((new_company, new_company, new_person))(rng)
    buyer = [f"{bill_to}: {customer}"] if rng.random() < 0.6 else [f"{bill_to}:", customer]
    if rng.random() < 0.5:
        buyer += new_address(rng)

    titles = "INVOICE|Invoice|TAX INVOICE|Tax invoice|INVOICE / FACTURE|Commercial invoice|"
    title = pick(rng, titles)
    facts = []
    if title and rng.random() < 0.3:
        title += pick(rng, " | No. | #| no | # ") + number
    else:
        labels = "Invoice number|Invoice no.|Invoice No|Invoice #|Invoice ID|Our invoice|INVOICE NO"
        facts.append(_pair(rng, pick(rng, labels), number, width))
    label = _label(rng, "Date|Invoice date|Date of issue|Issued|Issue date")
    facts.append(_pair(rng, label, date, width))
    if rng.random() < 0.5:
        label = _label(rng, "Due|Due date|Payment due|Pay by")
        facts.append(_pair(rng, label, due, width))
    if rng.random() < 0.35:
        label = pick(rng, "Order no.|PO number|Customer no.|Your ref|Account")
        facts.append(_pair(rng, label, new_code(rng), width))
    rng.shuffle(facts)

    title = [title] if title else []
    issuer = _centre(rng, issuer)
    if not issuer[0].lstrip().startswith("From") and rng.random() < 0.8:
        lines, blocks = issuer + [""] + title, [buyer, facts]
    else:
        lines, blocks = title, [issuer, buyer, facts]
    rng.shuffle(blocks)
    for block in blocks:
        lines += block + ([""] if rng.random() < 0.6 else [])
    return lines


def _invoice(rng):
    money, width = Money(rng), rng.choice((0, 32, 40))
    company, number, style = new_company(rng), new_code(rng), rng.choice(DATE_STYLES)
    if rng.random() < 0.2:
        company = company.upper()
    date, due = new_date(rng, style), new_date(rng, style)
    lines = _invoice_head(rng, number, company, date, due, width)

    rule = _rule(rng) if rng.random() < 0.4 else ""
    if rng.random() < 0.5:
        heads = (
            "Description   Qty   Price   Amount",
            "Item | Qty | Amount",
            "Description        Amount",
            "Pos Item Total",
        )
        lines.append(rng.choice(heads))
    lines.append(rule)
    barred = rng.random() < 0.3
    subtotal = 0
    for position in range(1, rng.randint(2, 5)):
        quantity, price = rng.choice((1, 1, 2, 4, 5, 8, 10, 12, 25)), new_cents(rng, 5, 9000)
        subtotal += quantity * price
        name, amount = pick(rng, _WORK), money.number(quantity * price)
        if barred:
            lines.append(f"{name} | {quantity} | {amount}")
        elif rng.random() < 0.5:
            lines.append(_pair(rng, f"{position} {name}", amount, width or 34))
        else:
            lines.append(f"{name}  {quantity} x {money.number(price)}  {amount}")
    lines.append(rule)

    total = subtotal
    if rng.random() < 0.7:
        rate = rng.choice((5, 7, 8, 10, 19, 20, 21))
        tax = subtotal * rate // 100
        total += tax
        label = _label(rng, "Subtotal|Net amount|Net|Sum")
        lines.append(_pair(rng, label, money.show(subtotal), width))
        label = pick(rng, f"VAT {rate}%|VAT|Tax ({rate}%)|Sales tax")
        lines.append(_pair(rng, label, money.show(tax), width))
    label = _label(rng, "Total|Total|Total due|Amount due|Invoice total|Grand total|Balance due")
    lines.append(_pair(rng, label, money.show(total), width))
    small_print = [
        f"Payment within {pick(rng, '7|10|14|30|60')} days of the invoice date.",
        "Please quote the invoice number with your payment.", "Thank you for your business.",
        f"Bank: {new_word(rng)} Bank, account {digits(rng, 8)}", "Late payments bear interest.",
        f"IBAN {pick(rng, 'DE|FR|NL|GB')}{digits(rng, 12)}", f"Questions? Ask {new_person(rng)}.",
    ]  # fmt: skip
    lines += rng.sample(small_print, rng.choice((0, 1, 1, 2)))
    fields = {"number": number, "company": company, "date": date, "total": money.number(total)}
    return _finish(rng, lines), fields


# --- Letters -------------------------------------------------------------------------------------

_CONCERNS = (
    "membership|library card|parking permit|application|annual report|rental flat|garden fence|"
    "school trip|choir concert|insurance policy|pension plan|building permit|savings account|"
    "book proposal|summer course|street festival|water meter|job interview|heating system|"
    "travel grant|charity run|museum visit|family reunion|neighbourhood meeting|piano lessons|"
    "bus timetable|photo exhibition|volunteer programme"
)


def _subject(rng):
    thing = pick(rng, _CONCERNS)
    name = rng.choice(
        (new_word(rng), rng.choice(CITIES), f"{rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}")
    )
    return rng.choice(
        (
            f"Your {thing}",
            f"Renewal of your {thing}",
            f"Change to the {thing}",
            f"Invitation to the {name} {thing}",
            f"Question about the {thing} in {name}",
            f"The {name} {thing}",
            f"{thing.capitalize()} {rng.randint(1998, 2034)}",
            f"Cancellation of the {thing}",
            f"Thanks for the {thing}",
            f"Complaint about the {thing}",
            f"News from {name}: {thing}",
            f"Reminder: {thing}",
        )
    )


def _letter_body(rng, other):
    sentences = [
        "I am writing to you about the matter above.", "Thank you for your letter.",
        "I hope that you and your family are well.", "Please find the papers enclosed.",
        f"We met at the {rng.choice(CITIES)} office last year.",
        f"My colleague {other} has told me about it.",
        f"Your last letter of {new_date(rng)} has reached me.",
        "I would be grateful for an answer in the coming weeks.",
        f"The office is closed until {new_date(rng)}.",
        f"You may also speak to {other} at any time.",
        "We have thought about your proposal with care.", "I am sorry that this took so long.",
        "The committee will meet again in the autumn.", "There is no need to do anything now.",
        f"The fee of {Money(rng).show(new_cents(rng, 5, 900))} stays the same.",
        "Could you please send me the missing pages?", "Everything else remains as we agreed.",
        "It would be a pleasure to see you there.", "Everything has changed here since the spring.",
        f"We will be staying in {rng.choice(CITIES)} for the week.",
        "If the day does not suit you, please let me know.",
        "Your help has meant a great deal to all of us.",
    ]  # fmt: skip
    return _paragraphs(rng, rng.sample(sentences, rng.randint(2, 6)))


def _letter(rng):
    sender, recipient, other = new_person(rng), new_person(rng), new_person(rng)
    date, subject = new_date(rng), _subject(rng)
    title = pick(rng, "Mr |Ms |Mrs |Dr |Mr. |Ms. |Prof. ") if rng.random() < 0.4 else ""
    # The recipient's full name stands in the address, in the greeting, or in both.
    addressed = rng.random() < 0.65
    greeting = pick(rng, "Dear |Dear |Dear |Hello |Good morning ") + title
    if addressed and title:
        greeting += recipient.split()[-1]
    elif addressed and rng.random() < 0.6:
        greeting += recipient.split()[0]
    else:
        greeting += recipient

    lines = []
    letterhead = rng.random() < 0.5
    if letterhead:
        head = [pick(rng, "|||From: |Sender: ") + sender] + new_address(rng)
        lines += _centre(rng, head) + [""]
    elif rng.random() < 0.2:
        lines += [new_company(rng)] + new_address(rng) + [""]
    place = f"{rng.choice(CITIES)}, " if rng.random() < 0.35 else pick(rng, "|||Date: ")
    blocks = [[place + date]]
    if addressed:
        address = [pick(rng, "|||To: |To |For: ") + title + recipient]
        blocks.append(address + (new_address(rng) if rng.random() < 0.7 else []))
    rng.shuffle(blocks)
    for block in blocks:
        lines += block + [""]
    label = "Subject: |Subject: |Re: |RE: |Regarding: |Concerning: |Subject - |Our subject: "
    opening = [[pick(rng, label) + subject, ""], [greeting + ",", ""]]
    if rng.random() < 0.4:
        opening.reverse()
    lines += opening[0] + opening[1] + _letter_body(rng, other) + [""]

    closings = "Yours sincerely|Sincerely|Kind regards|Best wishes|Yours faithfully|Yours"
    lines += [pick(rng, closings) + ","] + ([""] if rng.random() < 0.4 else [])
    lines.append(sender if not letterhead or rng.random() < 0.8 else sender.split()[0])
    if rng.random() < 0.25:
        roles = "Secretary|Head of Office|Chair of the board|Treasurer|Director|Teacher"
        lines.append(pick(rng, roles))
    if rng.random() < 0.15:
        lines += ["", pick(rng, f"Enclosures: 2|Encl.|cc: {other}|P.S. The garden is in bloom.")]
    fields = {"sender": sender, "recipient": recipient, "date": date, "subject": subject}
    return _finish(rng, lines), fields


# --- Contracts -----------------------------------------------------------------------------------

_SMALL_NUMBERS = "zero one two three four five six seven eight nine ten".split()


def _term(rng):
    amount, unit = rng.choice(
        (
            (rng.randint(2, 36), "months"),
            (rng.randint(2, 10), "years"),
            (rng.randint(2, 52), "weeks"),
            (rng.choice((30, 45, 60, 90, 180)), "days"),
        )
    )
    in_words = amount < len(_SMALL_NUMBERS) and rng.random() < 0.5
    return f"{_SMALL_NUMBERS[amount] if in_words else amount} {unit}"


def _contract_parties(rng, title, date, parties):
    """The opening, from which one learns who is who. `parties`: two pairs (role, name)."""
    place = f" in {rng.choice(CITIES)}" if rng.random() < 0.3 else ""
    if rng.random() < 0.2:
        label = pick(rng, "Date|Date of contract|Signed on|Effective date")
        lines = [_pair(rng, role, name) for role, name in parties]
        rng.shuffle(lines)
        return [_pair(rng, label, date)] + lines
    the, (opening, closing) = pick(rng, "the |the |"), pick(rng, "\"\"|\"\"|''|“”")
    described = []
    for role, name in parties:
        seat = ", ".join([name] + new_address(rng)) if rng.random() < 0.35 else name
        described.append(f"{seat} ({opening}{the}{role}{closing})")
    if rng.random() < 0.4:
        described.reverse()
    first, second = described
    return rng.choice(
        (
            [f"This agreement is made on {date}{place} between {first} and {second}."],
            [f"This {title}, dated {date}, is entered into by and between {first} and {second}."],
            ["Between", first, "and", second, f"it is agreed on {date}{place} as follows:"],
            [f"On {date}{place}, {first} and {second} have agreed on the following."],
        )
    )


def _contract(rng):
    provider, client = (
        new_company(rng) if rng.random() < 0.75 else new_person(rng) for _ in range(2)
    )
    date, term = new_date(rng), _term(rng)
    pro = pick(rng, "Provider|Provider|Provider|Supplier|Contractor")
    cli = pick(rng, "Client|Client|Client|Customer")

    subjects = "Service|Supply|Consulting|Maintenance|Framework|Licence|Delivery|Cleaning|Support"
    title = pick(rng, subjects) + pick(rng, " agreement| contract| Agreement")
    lines = _centre(rng, [title.upper() if rng.random() < 0.5 else title])
    if rng.random() < 0.25:
        lines.append(_pair(rng, pick(rng, "Contract no.|Ref|Agreement no."), new_code(rng)))
    lines.append("" if rng.random() < 0.7 else _rule(rng))
    lines += _contract_parties(rng, title.lower(), date, ((pro, provider), (cli, client))) + [""]

    fee = Money(rng).show(new_cents(rng, 80, 90000))
    clauses = [
        f"The {pro} shall deliver the services described in Annex A.",
        f"The {cli} shall pay {fee} per month.", f"The {cli} shall pay a fee of {fee} on delivery.",
        "Each party keeps the other's information confidential.",
        f"Either party may terminate with {pick(rng, '14|30|60|90')} days' written notice.",
        f"Invoices are due within {pick(rng, '10|14|30')} days.",
        f"The law of {rng.choice(CITIES)} applies.", f"The {pro} may use subcontractors.",
        f"The {pro} is liable for gross negligence only.", f"All work results belong to the {cli}.",
        "Changes to this agreement must be made in writing.", "No other agreements have been made.",
        f"The {cli} gives access to its premises during office hours.",
        f"The warranty period is {rng.randint(6, 24)} months.",
        f"Contact for the {cli} is {new_person(rng)}.",
        "If one clause is void, the others remain in force.",
    ]  # fmt: skip
    clauses = rng.sample(clauses, rng.randint(2, 6))
    duration = (
        f"This agreement has a term of {term}.|It begins on the date above and lasts for {term}.|"
        f"The contract runs for {term} and then ends without notice.|Term: {term}.|"
        f"The parties agree on a fixed term of {term}.|This contract is concluded for {term}.|"
        f"The duration of this agreement is {term} from the date of signing."
    )
    clauses.insert(rng.randint(0, len(clauses)), pick(rng, duration))
    numbering = pick(rng, "{}. |{}. |§ {} |({}) |Article {}: ||- ")
    lines += [numbering.format(i) + clause for i, clause in enumerate(clauses, 1)]
    ending = rng.random()
    if ending < 0.35:
        lines += ["", pick(rng, "Signed:|Signatures|Agreed and signed by")]
        lines += [f"For the {pro}: {new_person(rng)}", f"For the {cli}: {new_person(rng)}"]
    elif ending < 0.6:
        lines += ["", "____________        ____________", f"{pro}            {cli}"]
    fields = {"provider": provider, "client": client, "date": date, "term": term}
    return _finish(rng, lines), fields


# --- Support mails -------------------------------------------------------------------------------

_MOODS = {
    "high": "Our whole shop has stopped because of this, please help at once!|"
    "This is urgent: we cannot work at all.|I need an answer today, customers are waiting.|"
    "Please treat this as an emergency.|We are losing money every hour.|"
    "Production is down since this morning.|Please call me back immediately.|"
    "This must be fixed right away.",
    "low": "There is no hurry.|Whenever you find the time is fine.|No rush at all.|"
    "It is only a small thing and can wait.|An answer next month would be early enough.|"
    "It does not disturb me much, I just wanted to tell you.|"
    "Please look at it when you have nothing better to do.|This is not important, just curious.",
}


def _product(rng):
    """(name, name with its model)"""
    line = rng.choice(
        (
            new_word(rng),
            rng.choice(ADJECTIVES) + rng.choice(NOUNS),
            f"{new_word(rng)} {rng.choice(NOUNS)}",
            rng.choice(NOUNS),
        )
    )
    devices = (
        "Router|Printer|Camera|Phone|Kettle|Scanner|Drill|Monitor|Keyboard|Speaker|Cleaner|Heater"
    )
    model = rng.choice(
        (
            str(rng.randint(2, 9000)),
            f"{rng.choice('ABCDEGHKLMPRSTVXZ')}{rng.randint(1, 999)}",
            "Pro",
            "Mini",
            "Plus",
            "Home",
            f"{rng.randint(1, 12)}.{rng.randint(0, 9)}",
            pick(rng, devices),
        )
    )
    return line, f"{line} {model}"


def _complaint(rng, product, reference, urgency):
    problem = rng.choice(
        (
            f"My {product} does not start any more.",
            f"The {product} shows error {rng.randint(2, 999)} when I switch it on.",
            f"Since the last update the {product} keeps losing the connection.",
            f"I cannot log in to {product}.",
            f"The screen of my {product} stays black.",
            f"I bought a {product} last month and it makes a strange noise.",
            f"How do I change the language of the {product}?",
            f"The {product} arrived with a broken cover.",
            f"I have a problem with {product}: it prints every page twice.",
            f"After two hours the {product} becomes very hot.",
            f"We use {product} in our office and it forgets its settings.",
            f"The battery of the {product} is empty after an hour.",
        )
    )
    details = [
        "I have already restarted it twice.", "The manual does not say anything about it.",
        "The cable is new.", f"It worked well until {new_date(rng)}.", "A photo is attached.",
        f"Your colleague {new_person(rng)} could not help me on the phone.",
        "The light at the back blinks red.", "The same happens with a second one.",
        f"I paid {Money(rng).show(new_cents(rng, 15, 2500))} for it.", "Can I get a replacement?",
        f"I bought it in {rng.choice(CITIES)}.", "What should I do?", "Is there a newer version?",
        "Please tell me how to repair it.", "I would like my money back.",
        "My computer is up to date.",
    ]  # fmt: skip
    mention = rng.choice(
        (
            f"My order number is {reference}.",
            f"The ticket number is {reference}.",
            f"Order: {reference}",
            f"Case {reference}.",
            f"Reference: {reference}",
            f"The order ({reference}) was delivered last week.",
            f"You will find me under customer number {reference}.",
        )
    )
    sentences = [problem] + rng.sample(details, rng.randint(1, 4))
    sentences.insert(rng.randint(0, len(sentences)), mention)
    if urgency in _MOODS:
        sentences.insert(rng.randint(0, len(sentences)), pick(rng, _MOODS[urgency]))
    return _paragraphs(rng, sentences)


def _support(rng):
    sender, reference, urgency = new_person(rng), new_code(rng), rng.choice(URGENCIES)
    line, product = _product(rng)
    lines = []
    signed = True
    if rng.random() < 0.7:
        address = new_email(rng, sender)
        named = rng.random() < 0.6
        lines.append(f"From: {sender} <{address}>" if named else f"From: {address}")
        team = pick(rng, "support|help|service|helpdesk")
        lines.append(f"To: {new_email(rng, team)}")
        if rng.random() < 0.4:
            lines.append(f"Date: {new_date(rng)}")
        topics = (
            f"Problem with {product}|{product} not working|Help needed|Question|Broken {product}|"
            f"Support request|[{reference}] {product}|Please help|Trouble with my {line}"
        )
        alarm = urgency == "high" and rng.random() < 0.4
        shout = pick(rng, "URGENT: |Urgent - |HELP! ") if alarm else ""
        lines += [f"Subject: {shout}{pick(rng, topics)}", ""]
        signed = not named or rng.random() < 0.8
    greetings = "Hi|Hello|Dear support team|Hello support|Good morning|Hi there|Dear Sir or Madam"
    lines += [pick(rng, greetings) + ",", ""]
    lines += _complaint(rng, product, reference, urgency) + [""]
    lines.append(pick(rng, "Thanks|Thank you|Best|Regards|Kind regards|Many thanks|Cheers") + ",")
    lines.append(sender if signed else sender.split()[0])
    if rng.random() < 0.2:
        lines.append(rng.choice((new_phone(rng), "Sent from my phone", new_company(rng))))
    fields = {"sender": sender, "product": product, "reference": reference}
    return _finish(rng, lines), fields, urgency


# --- Public --------------------------------------------------------------------------------------

_MAKERS = {
    "receipt": _receipt,
    "invoice": _invoice,
    "letter": _letter,
    "contract": _contract,
    "support": _support,
}


def make_document(rng, kind=None):
    kind = kind or rng.choice(KINDS)
    text, fields, *urgency = _MAKERS[kind](rng)
    assert tuple(fields) == FIELDS[kind]
    assert all(value in text for value in fields.values()), (fields, text)
    return Document(kind, text, fields, *urgency)


def main():
    parser = argparse.ArgumentParser(description="Write synthetic documents and what is in them.")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for the texts")
    options = parser.parse_args()

    rng = random.Random(options.seed)
    # Kinds in turn, then shuffled: a small set still holds every kind.
    kinds = [KINDS[i % len(KINDS)] for i in range(options.count)]
    rng.shuffle(kinds)
    options.out.mkdir(parents=True, exist_ok=True)
    # Beside the folder, so that everything in the folder is a document.
    with open(options.out.parent / "expected.jsonl", "w", encoding="utf-8") as expected:
        for index, kind in enumerate(kinds, 1):
            document = make_document(rng, kind)
            name = f"{index:03}.txt"
            (options.out / name).write_text(document.text + "\n", encoding="utf-8")
            record = {"id": name, "kind": document.kind, "fields": document.fields}
            if document.urgency:
                record["urgency"] = document.urgency
            expected.write(json.dumps(record, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
