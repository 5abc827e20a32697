#!/usr/bin/env python3
"""Synthetic office documents with known answers.

Every document has a kind (receipt, invoice, letter, contract, support) and a few fields whose
values stand verbatim in its text. Documents are composed from parts (headings, tables, clauses,
sentences, separators) chosen at random, and most names are built from syllables, so that a model
trained on them has to read: it cannot remember the answers. Amounts, dates and names that are *not*
the answer (subtotals, due dates, other people) stand in the same texts on purpose.

The same seed always makes the same documents. Standard library only.

    python3 documents.py --seed 7 --count 24 --out DIR     writes DIR/001.txt … and DIR/expected.jsonl
"""

import argparse
import datetime
import json
import math
import pathlib
import random
from dataclasses import dataclass

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


# --- Names, dates, amounts -----------------------------------------------------------------------

_ONSETS = "b br c ch cl d dr f fl g gr h j k kl l m n p pr qu r s sh sl st t th tr v w z".split()
_NUCLEI = "a e i o u a e i o ai ea ee ia io ou".split()
_CODAS = "l m n r s t x ck ll nd ng nt rd rn rt ss st th".split() + [""] * 12
_ENDINGS = "a o y er en in on ham ton ley ford field sen man well wood ski ez ini ard".split()
_FIRST = (
    "Ada Alan Alice Amir Anna Arjun Beatriz Ben Carla Chen Clara Daniel David Elena Emma Erik Fatima "
    "Felix Fiona George Grace Hana Henry Ines Ivan Jack James Jane Joan José Julia Karl Kenji Laura "
    "Leo Liam Lina Lucia Luke Maria Mark Martin Maya Mei Mina Nadia Nina Noah Olga Oliver Omar Paul "
    "Peter Priya Rachel Ravi Rosa Ruth Sam Sara Sofia Thomas Tim Tom Vera Victor Wei Yara Yusuf Zoë"
).split()
_LAST = (
    "Adams Ahmed Baker Bauer Becker Brown Carter Clarke Costa Cruz Davies Diaz Dubois Evans Fischer "
    "Garcia Green Haddad Hall Hansen Hill Hughes Ito Jansen Jones Kaya Khan Kim King Kowalski Lee "
    "Lopez Martin Meyer Miller Moore Müller Nguyen Novak Okafor Olsen Park Patel Peters Reyes Rossi "
    "Sato Schmidt Silva Singh Smith Stone Tanaka Taylor Torres Walker Weber White Wilson Wong Young"
).split()
_ADJECTIVES = (
    "Blue Bright Central City Clear Crown Eastern First Global Golden Grand Green Harbour High Little "
    "Lucky Metro Modern New Northern Old Open Pacific Prime Quick Red Royal Silver Southern Star Sunny "
    "United Urban Western White"
).split()
_NOUNS = (
    "Anchor Apple Arch Barn Bay Bear Bridge Castle Cedar Cloud Coast Corner Creek Eagle Falcon Field "
    "Fox Garden Gate Hill Horse Island Lake Lamp Leaf Lion Maple Mill Moon Mountain Oak Orchard Owl "
    "Palm Peak Pine Pond River Rock Rose Stone Swan Tower Tree Valley Wave Willow Wolf"
).split()
_SHOPS = (
    "Bakery Books Café Coffee Cycles Deli Electronics Express Flowers Foods Grill Grocery Hardware "
    "Hotel Kitchen Market Mart Minimart Music Outlet Pharmacy Pizza Restaurant Shop Sports Stationers "
    "Store Supermarket Tea Toys Trading"
).split()
_TRADES = (
    "Analytics Builders Consulting Design Energy Engineering Freight Group Holdings Industries "
    "Instruments Labs Logistics Machines Media Networks Packaging Partners Plastics Printing Security "
    "Services Software Solutions Studio Supplies Systems Technologies Textiles Tools Works"
).split()
_LEGAL = "Ltd Ltd. Inc. Inc LLC GmbH PLC Co. Corp. AG BV S.A. LLP Limited".split()
_STREETS = "Street Road Avenue Lane Drive Way Square Court Boulevard Close".split()
_CITIES = (
    "Ashford Bergen Boston Bristol Cardiff Chester Dublin Durham Exeter Geneva Ghent Glasgow Hamburg "
    "Leeds Lisbon London Lyon Madrid Malmö Milan Oslo Oxford Porto Prague Seattle Turin Utrecht Vienna "
    "Warsaw York"
).split()


def _word(rng):
    """A capitalised word nobody has seen."""
    syllables = "".join(
        rng.choice(_ONSETS) + rng.choice(_NUCLEI) + rng.choice(_CODAS)
        for _ in range(rng.choice((1, 1, 1, 2)))
    )
    if rng.random() < 0.2:
        syllables = rng.choice("aeiou") + syllables
    return (syllables + rng.choice(_ENDINGS)).capitalize()


def _person(rng):
    first = rng.choice(_FIRST) if rng.random() < 0.5 else _word(rng)
    last = rng.choice(_LAST) if rng.random() < 0.4 else _word(rng)
    style = rng.random()
    if style < 0.1:
        return f"{first} {rng.choice('ABCDEFGHJKLMNPRSTW')}. {last}"
    if style < 0.15:
        return f"{first[0]}. {last}"
    if style < 0.2:
        return f"{first} {last}-{rng.choice(_LAST)}"
    return f"{first} {last}"


def _company(rng, trades=_TRADES):
    name = _word(rng) if rng.random() < 0.6 else rng.choice(_LAST)
    pattern = rng.random()
    if pattern < 0.3:
        return f"{name} {rng.choice(trades)}"
    if pattern < 0.5:
        return f"{name} {rng.choice(trades)} {rng.choice(_LEGAL)}"
    if pattern < 0.65:
        return f"{name} {rng.choice(_LEGAL)}"
    if pattern < 0.75:
        return f"{name} & {rng.choice(('Sons', 'Co.', 'Daughters', _word(rng), rng.choice(_LAST)))}"
    if pattern < 0.95:
        return f"{rng.choice(_ADJECTIVES)} {rng.choice(_NOUNS)} {rng.choice(trades)}"
    return f"{name}'s {rng.choice(trades)}"


def _digits(rng, count):
    return "".join(rng.choice("0123456789") for _ in range(count))


def _code(rng):
    """A document, order or model number: 20417, INV-2031-004, QX/88213, 7F-3390…"""
    letters = "".join(rng.choice("ABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(rng.randint(1, 4)))
    pattern = rng.randrange(6)
    if pattern == 0:
        return str(rng.randint(1000, 9999999))
    if pattern == 1:
        return f"{letters}-{rng.randint(100, 999999)}"
    if pattern == 2:
        return f"{letters}{rng.randint(100, 999999)}"
    if pattern == 3:
        return f"{rng.randint(1999, 2035)}-{_digits(rng, rng.randint(3, 5))}"
    if pattern == 4:
        return f"{letters}/{rng.randint(10, 99)}/{_digits(rng, rng.randint(3, 5))}"
    return f"{letters}-{rng.randint(1999, 2035)}-{_digits(rng, rng.randint(3, 4))}"


_DATE_STYLES = (
    "%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%B %-d, %Y", "%-d %B %Y",
    "%b %-d, %Y", "%-d %b %Y", "%d-%b-%Y", "%d/%m/%y", "%Y/%m/%d",
)  # fmt: skip


def _date(rng, style=None):
    day = datetime.date(1995, 1, 1) + datetime.timedelta(days=rng.randrange(365 * 40))
    style = style or rng.choice(_DATE_STYLES)
    # %-d is glibc's; spelled out here so that the result depends on no platform.
    return day.strftime(style.replace("%-d", str(day.day)))


class _Money:
    """One document's way of writing amounts."""

    def __init__(self, rng):
        self._form = rng.choice(
            ("{}", "{}", "{}", "${}", "$ {}", "£{}", "€{}", "€ {}", "{} €", "EUR {}", "{} EUR", "{} USD",
             "USD {}", "CHF {}", "RM {}", "RM{}")
        )  # fmt: skip
        self._thousands = rng.random() < 0.6

    def number(self, cents):
        return f"{cents / 100:,.2f}" if self._thousands else f"{cents / 100:.2f}"

    def show(self, cents):
        return self._form.format(self.number(cents))


def _cents(rng, low, high):
    """Log-uniform, so that small and large amounts are equally common."""
    return int(100 * math.exp(rng.uniform(math.log(low), math.log(high))))


# --- Layout --------------------------------------------------------------------------------------


def _rule(rng):
    return rng.choice("--=-*_") * rng.choice((8, 16, 20, 24, 32, 40))


def _label(rng, *names):
    """A label as forms write it: 'Total', 'TOTAL', 'total'."""
    name = rng.choice(names)
    return rng.choice((name, name, name, name.upper(), name.lower()))


def _pair(rng, label, value, width=0):
    """One 'label: value' line; `width` > 0 may put the value into a right-hand column."""
    if width and rng.random() < 0.6:
        room = max(2, width - len(label) - len(value))
        return label + (rng.choice((" ", " ", " ", ".")) * room if room > 3 else " " * room) + value
    return label + rng.choice((": ", ": ", ": ", " ", ":", " : ")) + value


def _centre(rng, lines):
    if rng.random() < 0.3:
        return [" " * rng.choice((2, 4, 6, 8)) + line for line in lines]
    return lines


def _address(rng):
    line = rng.choice(
        (
            f"{rng.randint(1, 400)} {_word(rng)} {rng.choice(_STREETS)}",
            f"{_word(rng)} {rng.choice(_STREETS)} {rng.randint(1, 400)}",
            f"Unit {rng.randint(1, 40)}, {rng.choice(_NOUNS)} {rng.choice(_STREETS)}",
        )
    )
    town = rng.choice(
        (
            rng.choice(_CITIES),
            f"{_digits(rng, 5)} {rng.choice(_CITIES)}",
            f"{rng.choice(_CITIES)} {rng.choice('ABCDEGHLMNSW')}{rng.randint(1, 20)} {rng.randint(1, 9)}XY",
        )
    )
    return [line, town] if rng.random() < 0.6 else [f"{line}, {town}"]


def _phone(rng):
    return rng.choice(("Tel ", "Tel. ", "Phone: ", "T: ")) + rng.choice(
        (
            f"+{rng.randint(30, 49)} {_digits(rng, 3)} {_digits(rng, 6)}",
            f"({_digits(rng, 3)}) {_digits(rng, 3)}-{_digits(rng, 4)}",
            f"0{_digits(rng, 4)} {_digits(rng, 6)}",
        )
    )


def _email(rng, name):
    user = "".join(c for c in name.lower() if c.isascii() and c.isalpha() or c == " ").split()
    return f"{'.'.join(user)}@{_word(rng).lower()}.{rng.choice(('com', 'net', 'org', 'example'))}"


def _sentences(rng, pool, count):
    return [s() if callable(s) else s for s in rng.sample(pool, min(count, len(pool)))]


def _paragraphs(rng, sentences):
    """Sentences as one or two paragraphs, on long lines or wrapped ones."""
    cut = rng.randint(1, len(sentences)) if sentences else 0
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
        text.insert(0, rng.choice(("COPY", "Page 1 of 1", "SCANNED", "- 1 -", "ORIGINAL", "DUPLICATE")))
    if rng.random() < 0.06:
        text.append(rng.choice(("Page 1 of 1", "1/1", "- 1 -", "E. & O. E.", "[end]")))
    return "\n".join(text).strip("\n")


# --- Receipts ------------------------------------------------------------------------------------

_GOODS = (
    "Apples Bananas Batteries Bread Broom Butter Candles Carrots Cheese Chicken Chocolate Coffee Cookies "
    "Cups Eggs Envelopes Fish Flour Gloves Hammer Honey Ice Jam Juice Lamp Lemons Milk Mug Nails Napkins "
    "Noodles Notebook Nuts Oil Onions Oranges Paint Paper Pasta Pen Pepper Pizza Plates Potatoes Rice Rope "
    "Salad Salt Sandwich Screws Shampoo Soap Soup Sugar Tape Tea Tomatoes Towel Water Wine Yoghurt"
).split()


def _goods(rng):
    name = rng.choice(_GOODS)
    if rng.random() < 0.3:
        name = f"{rng.choice(_ADJECTIVES)} {name}"
    if rng.random() < 0.2:
        name += f" {rng.choice((2, 3, 4, 6, 10, 12, 100, 250, 500))}{rng.choice(('g', 'kg', 'ml', 'x', 'pcs'))}"
    return name


def _receipt(rng):
    money, width = _Money(rng), rng.choice((0, 24, 28, 32, 36))
    company = _company(rng, _SHOPS if rng.random() < 0.8 else _TRADES)
    shout = rng.random() < 0.35
    if shout:
        company = company.upper()
    date = _date(rng)
    stamp = _label(rng, "Date", "Date", "Purchased", "Sold on", "Time") if rng.random() < 0.6 else ""
    clock = f" {rng.randint(7, 22):02}:{rng.randint(0, 59):02}" if rng.random() < 0.5 else ""

    head = [company]
    if rng.random() < 0.7:
        head += _address(rng)
    if rng.random() < 0.4:
        head.append(_phone(rng))
    if rng.random() < 0.3:
        head.append(f"{rng.choice(('VAT', 'GST', 'Tax ID', 'Reg'))} {rng.choice(('no. ', '', 'No: '))}{_digits(rng, 9)}")
    if rng.random() < 0.12:
        head.insert(0, rng.choice(("Welcome to", "Thank you for shopping at", "*** WELCOME ***")))
    lines = _centre(rng, head)
    if rng.random() < 0.5:
        lines.append(rng.choice(("RECEIPT", "Receipt", "SALES RECEIPT", "Cash receipt", "Your receipt", "CASH BILL")))

    when = [_pair(rng, stamp, date + clock) if stamp else date + clock]
    if rng.random() < 0.5:
        when.append(_pair(rng, rng.choice(("Receipt no", "Till", "Trans", "Order", "Slip")), _digits(rng, rng.randint(2, 7))))
    if rng.random() < 0.4:
        who = rng.choice(_FIRST)
        when.append(_pair(rng, rng.choice(("Cashier", "Served by", "Clerk", "Staff")), who))
    rng.shuffle(when)
    date_first = rng.random() < 0.75
    if date_first:
        lines += when

    rule = _rule(rng) if rng.random() < 0.6 else ""
    lines.append(rule)
    subtotal = 0
    for _ in range(rng.randint(1, 7)):
        price, quantity = _cents(rng, 0.4, 400 if rng.random() < 0.15 else 40), rng.choice((1, 1, 1, 2, 3, 4))
        subtotal += price * quantity
        name = _goods(rng)
        if quantity > 1:
            name = rng.choice((f"{quantity} x {name}", f"{name} x{quantity}", f"{quantity} {name}"))
        lines.append(_pair(rng, name.upper() if shout else name, money.number(price * quantity), width or 26))
    lines.append(rule)

    total = subtotal
    if rng.random() < 0.6:
        lines.append(_pair(rng, _label(rng, "Subtotal", "Sub-total", "Sub total", "Net"), money.show(subtotal), width))
        tax = subtotal * rng.choice((5, 6, 7, 8, 10, 19, 20)) // 100
        lines.append(_pair(rng, _label(rng, "Tax", "VAT", "GST", "Sales tax"), money.show(tax), width))
        total += tax
    lines.append(_pair(rng, _label(rng, "Total", "Total", "Total", "Grand total", "Total due", "Amount due", "To pay"),
                       money.show(total), width))  # fmt: skip
    if rng.random() < 0.5:
        paid = total + rng.choice((0, 0, rng.randint(1, 2000)))
        lines.append(_pair(rng, _label(rng, "Cash", "Card", "Paid", "Visa", "Tendered"), money.show(paid), width))
        lines.append(_pair(rng, _label(rng, "Change", "Change due"), money.show(paid - total), width))
    if not date_first:
        lines += when
    lines += rng.sample(
        ["Thank you!", "THANK YOU, COME AGAIN", "Please keep this receipt.", "Goods sold are not returnable.", "Have a nice day",
         "Refunds within 14 days with receipt", "Follow us online", f"Points earned: {rng.randint(1, 300)}"],
        rng.choice((0, 1, 1, 2)),
    )  # fmt: skip
    return _finish(rng, lines), {"company": company, "date": date, "total": money.number(total)}


# --- Invoices ------------------------------------------------------------------------------------

_WORK = (
    "Annual licence|Assembly|Cable set|Cleaning of offices|Consulting hours|Courier service|Data migration|Desk chairs|"
    "Display panels|Editing|Electrical work|Freight|Hosting|Installation|Inspection|Laptop stands|Legal review|Maintenance|"
    "Network setup|On-site visit|Office paper|Packaging|Photography|Printing of brochures|Project management|Pump repair|"
    "Safety training|Software support|Spare parts|Steel brackets|Storage|Survey|Translation|Travel costs|Website design"
).split("|")


def _invoice(rng):
    money, width = _Money(rng), rng.choice((0, 32, 40))
    company, customer = _company(rng), rng.choice((_company, _company, _person))(rng)
    if rng.random() < 0.2:
        company = company.upper()
    number, style = _code(rng), rng.choice(_DATE_STYLES)
    date, due = _date(rng, style), _date(rng, style)

    issuer = [rng.choice(("From: ", "Seller: ", "Issued by: ", "Supplier: ", "", "", "", "")) + company]
    if rng.random() < 0.7:
        issuer += _address(rng)
    if rng.random() < 0.3:
        issuer.append(_phone(rng))
    bill_to = rng.choice(("Bill to", "Billed to", "To", "Customer", "Invoice to", "Sold to", "Client"))
    buyer = [f"{bill_to}: {customer}"] if rng.random() < 0.6 else [f"{bill_to}:", customer]
    if rng.random() < 0.5:
        buyer += _address(rng)

    title = rng.choice(("INVOICE", "Invoice", "TAX INVOICE", "Tax invoice", "INVOICE / FACTURE", "Commercial invoice", ""))
    meta = []
    if title and rng.random() < 0.3:
        title += rng.choice((" ", " No. ", " #", " no ", " # ")) + number
    else:
        label = rng.choice(("Invoice number", "Invoice no.", "Invoice No", "Invoice #", "Invoice ID", "Our invoice", "INVOICE NO"))
        meta.append(_pair(rng, label, number, width))
    meta.append(_pair(rng, _label(rng, "Date", "Invoice date", "Date of issue", "Issued", "Issue date"), date, width))
    if rng.random() < 0.5:
        meta.append(_pair(rng, _label(rng, "Due", "Due date", "Payment due", "Pay by"), due, width))
    if rng.random() < 0.35:
        meta.append(_pair(rng, rng.choice(("Order no.", "PO number", "Customer no.", "Your ref", "Account")), _code(rng), width))
    rng.shuffle(meta)

    blocks = [_centre(rng, issuer), buyer, meta]
    if "From" not in issuer[0] and rng.random() < 0.8:
        lines = blocks[0] + [""] + ([title] if title else [])
        rest = blocks[1:]
    else:
        lines, rest = ([title] if title else []), blocks
    rng.shuffle(rest)
    for block in rest:
        lines += block + ([""] if rng.random() < 0.6 else [])

    rule = _rule(rng) if rng.random() < 0.4 else ""
    if rng.random() < 0.5:
        lines.append(rng.choice(("Description   Qty   Price   Amount", "Item | Qty | Amount", "Description        Amount", "Pos Item Total")))
    lines.append(rule)
    bar = " | " if rng.random() < 0.3 else ""
    subtotal = 0
    for position in range(1, rng.randint(2, 5)):
        quantity, price = rng.choice((1, 1, 2, 4, 5, 8, 10, 12, 25)), _cents(rng, 5, 9000)
        subtotal += quantity * price
        name = rng.choice(_WORK)
        amount = money.number(quantity * price)
        if bar:
            lines.append(bar.join((name, str(quantity), amount)))
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
        lines.append(_pair(rng, _label(rng, "Subtotal", "Net amount", "Net", "Sum"), money.show(subtotal), width))
        lines.append(_pair(rng, rng.choice((f"VAT {rate}%", "VAT", f"Tax ({rate}%)", "Sales tax")), money.show(tax), width))
    lines.append(_pair(rng, _label(rng, "Total", "Total", "Total due", "Amount due", "Invoice total", "Grand total", "Balance due"),
                       money.show(total), width))  # fmt: skip
    lines += _sentences(rng, [
        f"Payment within {rng.choice((7, 10, 14, 30, 60))} days of the invoice date.", "Please quote the invoice number with your payment.",
        f"Bank: {_word(rng)} Bank, account {_digits(rng, 8)}", "Thank you for your business.", "Late payments bear interest.",
        f"IBAN {rng.choice(('DE', 'FR', 'NL', 'GB'))}{_digits(rng, 12)}", f"Questions? Ask {_person(rng)}.",
    ], rng.choice((0, 1, 1, 2)))  # fmt: skip
    return _finish(rng, lines), {"number": number, "company": company, "date": date, "total": money.number(total)}


# --- Letters -------------------------------------------------------------------------------------


def _subject(rng):
    thing = rng.choice(
        "membership|library card|parking permit|application|annual report|rental flat|garden fence|school trip|"
        "choir concert|insurance policy|pension plan|building permit|savings account|book proposal|summer course|"
        "street festival|water meter|job interview|heating system|travel grant|charity run|museum visit|family reunion|"
        "neighbourhood meeting|piano lessons|bus timetable|photo exhibition|volunteer programme".split("|")
    )
    name = rng.choice((_word(rng), rng.choice(_CITIES), f"{rng.choice(_ADJECTIVES)} {rng.choice(_NOUNS)}"))
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


def _letter(rng):
    sender, recipient, date, subject = _person(rng), _person(rng), _date(rng), _subject(rng)
    title = rng.choice(("Mr ", "Ms ", "Mrs ", "Dr ", "Mr. ", "Ms. ", "Prof. ")) if rng.random() < 0.4 else ""
    greeting = rng.choice(("Dear ", "Dear ", "Dear ", "Hello ", "Good morning "))
    named_above = rng.random() < 0.65
    if title:
        greeting += title + recipient.split()[-1]
    else:
        greeting += recipient if not named_above or rng.random() < 0.4 else recipient.split()[0]
    if not named_above and title:  # the full name must stand somewhere
        greeting = "Dear " + title + recipient

    lines = []
    letterhead = rng.random() < 0.5
    if letterhead:
        lines += _centre(rng, [rng.choice(("", "", "", "From: ", "Sender: ")) + sender] + _address(rng)) + [""]
    elif rng.random() < 0.2:
        lines += [_company(rng)] + _address(rng) + [""]
    place = f"{rng.choice(_CITIES)}, " if rng.random() < 0.35 else rng.choice(("", "", "", "Date: "))
    address = [rng.choice(("", "", "", "To: ", "To ", "For: ")) + title + recipient] if named_above else []
    if named_above and rng.random() < 0.7:
        address += _address(rng)
    blocks = [[place + date], address] if address else [[place + date]]
    rng.shuffle(blocks)
    for block in blocks:
        lines += block + [""]
    topic = rng.choice(("Subject: ", "Subject: ", "Re: ", "RE: ", "Regarding: ", "Concerning: ", "Subject - ", "Our subject: ")) + subject
    above = rng.random() < 0.6
    lines += [topic, "", greeting + ",", ""] if above else [greeting + ",", "", topic, ""]

    other = _person(rng)
    body = _sentences(rng, [
        "I am writing to you about the matter above.", "Thank you for your letter.", "I hope that you and your family are well.",
        f"We met at the {rng.choice(_CITIES)} office last year.", f"My colleague {other} has told me about it.",
        f"Your last letter of {_date(rng)} has reached me.", "I would be grateful for an answer in the coming weeks.",
        "Please find the papers enclosed.", f"The office is closed until {_date(rng)}.", f"You may also speak to {other} at any time.",
        "We have thought about your proposal with care.", "I am sorry that this took so long.", "The committee will meet again in the autumn.",
        f"The fee of {_Money(rng).show(_cents(rng, 5, 900))} stays the same.", "There is no need to do anything now.",
        "Could you please send me the missing pages?", "Everything else remains as we agreed.", "It would be a pleasure to see you there.",
        f"We will be staying in {rng.choice(_CITIES)} for the week.", "Many things have changed here since the spring.",
        "If the day does not suit you, please let me know.", "Your help has meant a great deal to all of us.",
    ], rng.randint(2, 6))  # fmt: skip
    lines += _paragraphs(rng, body) + [""]
    closing = rng.choice(("Yours sincerely,", "Sincerely,", "Kind regards,", "Best wishes,", "Yours faithfully,", "With best regards,", "Yours,"))
    signature = sender if not letterhead or rng.random() < 0.8 else sender.split()[0]
    lines += [closing] + ([""] if rng.random() < 0.4 else []) + [signature]
    if rng.random() < 0.25:
        lines.append(rng.choice(("Secretary", "Head of Office", "Chair of the board", "Treasurer", "Director", "Teacher")))
    if rng.random() < 0.15:
        lines += ["", rng.choice(("Enclosures: 2", "Encl.", f"cc: {other}", "P.S. The garden is in bloom."))]
    return _finish(rng, lines), {"sender": sender, "recipient": recipient, "date": date, "subject": subject}


# --- Contracts -----------------------------------------------------------------------------------


def _contract(rng):
    provider = _company(rng) if rng.random() < 0.75 else _person(rng)
    client = _company(rng) if rng.random() < 0.75 else _person(rng)
    date = _date(rng)
    amount, unit = rng.choice(
        ((rng.randint(2, 36), "months"), (rng.randint(2, 10), "years"), (rng.randint(2, 52), "weeks"), (rng.choice((30, 45, 60, 90, 180)), "days"))
    )
    words = "zero one two three four five six seven eight nine ten".split()
    term = f"{words[amount] if amount <= 10 and rng.random() < 0.5 else amount} {unit}"
    pro = rng.choice(("Provider", "Provider", "Provider", "Supplier", "Contractor"))
    cli = rng.choice(("Client", "Client", "Client", "Customer"))
    the = rng.choice(("the ", "the ", ""))
    quote = rng.choice(('"', '"', "'", "“"))
    pro_def, cli_def = (f"({quote}{the}{role}{'”' if quote == '“' else quote})" for role in (pro, cli))
    the = "the " if the else ""

    title = rng.choice(("Service", "Supply", "Consulting", "Maintenance", "Framework", "Licence", "Delivery", "Cleaning", "Support"))
    title += rng.choice((" agreement", " contract", " Agreement"))
    lines = _centre(rng, [title.upper() if rng.random() < 0.5 else title])
    if rng.random() < 0.25:
        lines.append(_pair(rng, rng.choice(("Contract no.", "Ref", "Agreement no.")), _code(rng)))
    lines.append("" if rng.random() < 0.7 else _rule(rng))

    place = f" in {rng.choice(_CITIES)}" if rng.random() < 0.3 else ""
    seat = (", ".join([""] + _address(rng)) if rng.random() < 0.35 else "") + " "
    seat2 = (", ".join([""] + _address(rng)) if rng.random() < 0.35 else "") + " "
    party1, party2 = f"{provider}{seat}{pro_def}", f"{client}{seat2}{cli_def}"
    if rng.random() < 0.4:
        party1, party2 = party2, party1
    form = rng.randrange(5)
    if form == 0:
        lines.append(f"This agreement is made on {date}{place} between {party1} and {party2}.")
    elif form == 1:
        lines.append(f"This {title.lower()}, dated {date}, is entered into by and between {party1} and {party2}, together the parties.")
    elif form == 2:
        lines += ["Between", party1, "and", party2, f"it is agreed on {date}{place} as follows:"]
    elif form == 3:
        parties = [_pair(rng, pro, provider), _pair(rng, cli, client)]
        rng.shuffle(parties)
        lines += [_pair(rng, rng.choice(("Date", "Date of contract", "Signed on", "Effective date")), date)] + parties
    else:
        lines += [f"On {date}{place}, {party1} and {party2} have agreed on the following."]
    lines.append("")

    fee = _Money(rng).show(_cents(rng, 80, 90000))
    length = rng.choice((
        f"This agreement has a term of {term}.", f"The contract runs for {term} and then ends without notice.", f"Term: {term}.",
        f"It begins on the date above and lasts for {term}.", f"The parties agree on a fixed term of {term}.",
        f"The duration of this agreement is {term} from the date of signing.", f"This contract is concluded for {term}.",
    ))  # fmt: skip
    clauses = _sentences(rng, [
        f"The {pro} shall deliver the services described in Annex A.", f"The {cli} shall pay {fee} per month.",
        f"The {cli} shall pay a fee of {fee} on delivery.", "Each party keeps the other's information confidential.",
        f"Either party may terminate with {rng.choice((14, 30, 60, 90))} days' written notice.",
        f"Invoices are due within {rng.choice((10, 14, 30))} days.", f"The law of {rng.choice(_CITIES)} applies.",
        f"The {pro} is liable for gross negligence only.", "Changes to this agreement must be made in writing.",
        f"The {pro} may use subcontractors.", f"All work results belong to the {cli}.", "No other agreements have been made.",
        f"The {cli} gives access to its premises during office hours.", f"The warranty period is {rng.randint(6, 24)} months.",
        f"Contact for the {cli} is {_person(rng)}.", "If one clause is void, the others remain in force.",
    ], rng.randint(2, 6))  # fmt: skip
    clauses.insert(rng.randint(0, len(clauses)), length)
    numbering = rng.choice(("{}. ", "{}. ", "§ {} ", "({}) ", "Article {}: ", "", "- "))
    lines += [numbering.format(i) + clause for i, clause in enumerate(clauses, 1)]
    ending = rng.random()
    if ending < 0.35:
        lines += ["", rng.choice(("Signed:", "Signatures", "Agreed and signed by")), f"For the {pro}: {_person(rng)}", f"For the {cli}: {_person(rng)}"]
    elif ending < 0.6:
        lines += ["", "____________        ____________", f"{pro}            {cli}"]
    return _finish(rng, lines), {"provider": provider, "client": client, "date": date, "term": term}


# --- Support mails -------------------------------------------------------------------------------

_URGENT = (
    "Our whole shop has stopped because of this, please help at once!", "This is urgent: we cannot work at all.",
    "I need an answer today, customers are waiting.", "Please treat this as an emergency.", "We are losing money every hour.",
    "Production is down since this morning.", "Please call me back immediately.", "This must be fixed right away.",
)  # fmt: skip
_UNHURRIED = (
    "There is no hurry.", "Whenever you find the time is fine.", "It is only a small thing and can wait.", "No rush at all.",
    "An answer next month would be early enough.", "It does not disturb me much, I just wanted to tell you.",
    "Please look at it when you have nothing better to do.", "This is not important, just curious.",
)  # fmt: skip


def _support(rng):
    sender, reference = _person(rng), _code(rng)
    line = rng.choice((_word(rng), f"{rng.choice(_ADJECTIVES)}{rng.choice(_NOUNS)}", f"{_word(rng)} {rng.choice(_NOUNS)}", rng.choice(_NOUNS)))
    product = line + rng.choice((
        f" {rng.randint(2, 9000)}", f" {rng.choice('ABCDEGHKLMPRSTVXZ')}{rng.randint(1, 999)}", " Pro", " Mini", " Plus", " Home", f" {rng.randint(1, 12)}.{rng.randint(0, 9)}",
        " " + rng.choice("Router Printer Camera Phone Kettle Scanner Drill Monitor Keyboard Speaker Cleaner Heater".split()),
    ))  # fmt: skip
    urgency = rng.choice(URGENCIES)

    problem = rng.choice((
        f"My {product} does not start any more.", f"The {product} shows error {rng.randint(2, 999)} when I switch it on.",
        f"Since the last update the {product} keeps losing the connection.", f"I cannot log in to {product}.",
        f"The screen of my {product} stays black.", f"I bought a {product} last month and it makes a strange noise.",
        f"How do I change the language of the {product}?", f"The {product} arrived with a broken cover.",
        f"I have a problem with {product}: it prints every page twice.", f"After two hours the {product} becomes very hot.",
        f"We use {product} in our office and it forgets its settings.", f"The battery of the {product} is empty after an hour.",
    ))  # fmt: skip
    tried = _sentences(rng, [
        "I have already restarted it twice.", "The manual does not say anything about it.", "The cable is new.",
        f"It worked well until {_date(rng)}.", f"Your colleague {_person(rng)} could not help me on the phone.", "The light at the back blinks red.",
        f"I paid {_Money(rng).show(_cents(rng, 15, 2500))} for it.", "A photo is attached.", "The same happens with a second one.",
        f"I bought it in {rng.choice(_CITIES)}.", "Can I get a replacement?", "What should I do?", "Please tell me how to repair it.",
        "I would like my money back.", "Is there a newer version?", "My computer is up to date.",
    ], rng.randint(1, 4))  # fmt: skip
    mention = rng.choice((
        f"My order number is {reference}.", f"The ticket number is {reference}.", f"Order: {reference}", f"Case {reference}.",
        f"Reference: {reference}", f"The order ({reference}) was delivered last week.", f"You will find me under customer number {reference}.",
    ))  # fmt: skip
    mood = {"high": rng.choice(_URGENT), "low": rng.choice(_UNHURRIED), "normal": ""}[urgency]

    lines = []
    signed = True
    if rng.random() < 0.7:
        address = _email(rng, sender)
        named = rng.random() < 0.6
        head = [f"From: {sender} <{address}>" if named else f"From: {address}"]
        head.append(f"To: {rng.choice(('support', 'help', 'service', 'helpdesk'))}@{_word(rng).lower()}.com")
        if rng.random() < 0.4:
            head.append(f"Date: {_date(rng)}")
        topic = rng.choice((f"Problem with {product}", f"{product} not working", "Help needed", "Question", f"Broken {product}",
                            "Support request", f"[{reference}] {product}", "Please help", f"Trouble with my {line}"))  # fmt: skip
        head.append(f"Subject: {topic}")
        if urgency == "high" and rng.random() < 0.4:
            head[-1] = f"Subject: {rng.choice(('URGENT: ', 'Urgent - ', 'HELP! '))}{topic}"
        lines += head + [""]
        signed = not named or rng.random() < 0.8
    lines += [rng.choice(("Hi,", "Hello,", "Dear support team,", "Hello support,", "Good morning,", "Hi there,", "Dear Sir or Madam,")), ""]
    body = [problem] + tried
    body.insert(rng.randint(0, len(body)), mention)
    if mood:
        body.insert(rng.randint(0, len(body)), mood)
    lines += _paragraphs(rng, body) + [""]
    lines.append(rng.choice(("Thanks,", "Thank you,", "Best,", "Regards,", "Kind regards,", "Many thanks,", "Cheers,")))
    lines.append(sender if signed else sender.split()[0])
    if rng.random() < 0.2:
        lines.append(rng.choice((_phone(rng), "Sent from my phone", _company(rng))))
    return _finish(rng, lines), {"sender": sender, "product": product, "reference": reference}, urgency


_MAKERS = {"receipt": _receipt, "invoice": _invoice, "letter": _letter, "contract": _contract, "support": _support}


def make_document(rng, kind=None):
    kind = kind or rng.choice(KINDS)
    text, fields, *urgency = _MAKERS[kind](rng)
    for name, value in fields.items():
        assert value in text and '"' not in value and "\\" not in value, (kind, name, value, text)
    assert tuple(fields) == FIELDS[kind]
    return Document(kind, text, fields, *urgency)


def main():
    parser = argparse.ArgumentParser(description="Write synthetic documents and what is in them.")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()

    rng = random.Random(options.seed)
    # Kinds in turn, then shuffled: a small set still holds every kind.
    kinds = [KINDS[i % len(KINDS)] for i in range(options.count)]
    rng.shuffle(kinds)
    options.out.mkdir(parents=True, exist_ok=True)
    with open(options.out / "expected.jsonl", "w", encoding="utf-8") as expected:
        for index, kind in enumerate(kinds, 1):
            document = make_document(rng, kind)
            name = f"{index:03}"
            (options.out / f"{name}.txt").write_text(document.text + "\n", encoding="utf-8")
            record = {"id": f"{name}.txt", "kind": document.kind, "fields": document.fields}
            if document.urgency:
                record["urgency"] = document.urgency
            expected.write(json.dumps(record, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
