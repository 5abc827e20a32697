"""Names, codes, dates and amounts for synthetic documents.

Most names are built from syllables: nobody has seen them before, so that they have to be read.
"""

import datetime
import math


def pick(rng, options):
    """One of `options`, written as one string: "red|green|blue"."""
    return rng.choice(options.split("|"))


_ONSETS = "b br c ch cl d dr f fl g gr h j k kl l m n p pr qu r s sh sl st t th tr v w z".split()
_NUCLEI = "a e i o u a e i o ai ea ee ia io ou".split()
_CODAS = "l m n r s t x ck ll nd ng nt rd rn rt ss st th".split() + [""] * 12
_ENDINGS = "a o y er en in on ham ton ley ford field sen man well wood ski ez ini ard".split()

FIRST_NAMES = """
    Ada Alan Alice Amir Anna Arjun Beatriz Ben Carla Chen Clara Daniel David Elena Emma Erik Fatima
    Felix Fiona George Grace Hana Henry Ines Ivan Jack James Jane Joan José Julia Karl Kenji Laura
    Leo Liam Lina Lucia Luke Maria Mark Martin Maya Mei Mina Nadia Nina Noah Olga Oliver Omar Paul
    Peter Priya Rachel Ravi Rosa Ruth Sam Sara Sofia Thomas Tim Tom Vera Victor Wei Yara Yusuf Zoë
""".split()
LAST_NAMES = """
    Adams Ahmed Baker Bauer Becker Brown Carter Clarke Costa Cruz Davies Diaz Dubois Evans Fischer
    Garcia Green Haddad Hall Hansen Hill Hughes Ito Jansen Jones Kaya Khan Kim King Kowalski Lee
    Lopez Martin Meyer Miller Moore Müller Nguyen Novak Okafor Olsen Park Patel Peters Reyes Rossi
    Sato Schmidt Silva Singh Smith Stone Tanaka Taylor Torres Walker Weber White Wilson Wong Young
""".split()
ADJECTIVES = """
    Blue Bright Central City Clear Crown Eastern First Global Golden Grand Green Harbour High Little
    Lucky Metro Modern New Northern Old Open Pacific Prime Quick Red Royal Silver Southern Star
    Sunny United Urban Western White
""".split()
NOUNS = """
    Anchor Apple Arch Barn Bay Bear Bridge Castle Cedar Cloud Coast Corner Creek Eagle Falcon Field
    Fox Garden Gate Hill Horse Island Lake Lamp Leaf Lion Maple Mill Moon Mountain Oak Orchard Owl
    Palm Peak Pine Pond River Rock Rose Stone Swan Tower Tree Valley Wave Willow Wolf
""".split()
SHOPS = """
    Bakery Books Café Coffee Cycles Deli Electronics Express Flowers Foods Grill Grocery Hardware
    Hotel Kitchen Market Mart Minimart Music Outlet Pharmacy Pizza Restaurant Shop Sports Stationers
    Store Supermarket Tea Toys Trading
""".split()
TRADES = """
    Analytics Builders Consulting Design Energy Engineering Freight Group Holdings Industries
    Instruments Labs Logistics Machines Media Networks Packaging Partners Plastics Printing Security
    Services Software Solutions Studio Supplies Systems Technologies Textiles Tools Works
""".split()
_LEGAL_FORMS = "Ltd Ltd. Inc. Inc LLC GmbH PLC Co. Corp. AG BV S.A. LLP Limited".split()
_STREETS = "Street Road Avenue Lane Drive Way Square Court Boulevard Close".split()
CITIES = """
    Ashford Bergen Boston Bristol Cardiff Chester Dublin Durham Exeter Geneva Ghent Glasgow Hamburg
    Leeds Lisbon London Lyon Madrid Malmö Milan Oslo Oxford Porto Prague Seattle Turin Utrecht
    Vienna Warsaw York
""".split()


def new_word(rng):
    """A capitalised word nobody has seen, of five letters at least."""
    word = ""
    while len(word) < 5:
        vowel = rng.choice("aeiou") if rng.random() < 0.2 else ""
        syllables = [
            rng.choice(_ONSETS) + rng.choice(_NUCLEI) + rng.choice(_CODAS)
            for _ in range(rng.choice((1, 1, 1, 2)))
        ]
        word = vowel + "".join(syllables) + rng.choice(_ENDINGS)
    return word.capitalize()


def new_person(rng):
    first = rng.choice(FIRST_NAMES) if rng.random() < 0.5 else new_word(rng)
    last = rng.choice(LAST_NAMES) if rng.random() < 0.4 else new_word(rng)
    style = rng.random()
    if style < 0.1:
        return f"{first} {rng.choice('ABCDEFGHJKLMNPRSTW')}. {last}"
    if style < 0.15:
        return f"{first[0]}. {last}"
    if style < 0.2:
        return f"{first} {last}-{rng.choice(LAST_NAMES)}"
    return f"{first} {last}"


def new_company(rng, trades=TRADES):
    name = new_word(rng) if rng.random() < 0.6 else rng.choice(LAST_NAMES)
    pattern = rng.random()
    if pattern < 0.3:
        return f"{name} {rng.choice(trades)}"
    if pattern < 0.5:
        return f"{name} {rng.choice(trades)} {rng.choice(_LEGAL_FORMS)}"
    if pattern < 0.65:
        return f"{name} {rng.choice(_LEGAL_FORMS)}"
    if pattern < 0.75:
        return f"{name} & " + rng.choice(
            ("Sons", "Co.", "Daughters", new_word(rng), rng.choice(LAST_NAMES))
        )
    if pattern < 0.95:
        return f"{rng.choice(ADJECTIVES)} {rng.choice(NOUNS)} {rng.choice(trades)}"
    return f"{name}'s {rng.choice(trades)}"


def digits(rng, count):
    return "".join(rng.choice("0123456789") for _ in range(count))


def new_code(rng):
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
        return f"{rng.randint(1999, 2035)}-{digits(rng, rng.randint(3, 5))}"
    if pattern == 4:
        return f"{letters}/{rng.randint(10, 99)}/{digits(rng, rng.randint(3, 5))}"
    return f"{letters}-{rng.randint(1999, 2035)}-{digits(rng, rng.randint(3, 4))}"


# "%e" is the day without a leading zero; the platform's own %e would pad it with a space.
DATE_STYLES = (
    "%Y-%m-%d|%d/%m/%Y|%m/%d/%Y|%d.%m.%Y|%d-%m-%Y|%B %e, %Y|%e %B %Y|%b %e, %Y|%e %b %Y|%d-%b-%Y|"
    "%d/%m/%y|%Y/%m/%d"
).split("|")


def new_date(rng, style=None):
    day = datetime.date(1995, 1, 1) + datetime.timedelta(days=rng.randrange(365 * 40))
    style = style or rng.choice(DATE_STYLES)
    return day.strftime(style.replace("%e", str(day.day)))


_CURRENCIES = "{}|{}|{}|${}|$ {}|£{}|€{}|€ {}|{} €|EUR {}|{} EUR|{} USD|USD {}|CHF {}|RM {}"


class Money:
    """One document's way of writing amounts."""

    def __init__(self, rng):
        self._form = pick(rng, _CURRENCIES)
        self._thousands = rng.random() < 0.6

    def number(self, cents):
        return f"{cents / 100:,.2f}" if self._thousands else f"{cents / 100:.2f}"

    def show(self, cents):
        return self._form.format(self.number(cents))


def new_cents(rng, low, high):
    """Log-uniform, so that small and large amounts are equally common."""
    return int(100 * math.exp(rng.uniform(math.log(low), math.log(high))))


def new_address(rng):
    """One or two lines."""
    line = rng.choice(
        (
            f"{rng.randint(1, 400)} {new_word(rng)} {rng.choice(_STREETS)}",
            f"{new_word(rng)} {rng.choice(_STREETS)} {rng.randint(1, 400)}",
            f"Unit {rng.randint(1, 40)}, {rng.choice(NOUNS)} {rng.choice(_STREETS)}",
        )
    )
    postcode = f"{rng.choice('ABCDEGHLMNSW')}{rng.randint(1, 20)} {rng.randint(1, 9)}XY"
    town = rng.choice(
        (
            rng.choice(CITIES),
            f"{digits(rng, 5)} {rng.choice(CITIES)}",
            f"{rng.choice(CITIES)} {postcode}",
        )
    )
    return [line, town] if rng.random() < 0.6 else [f"{line}, {town}"]


def new_phone(rng):
    return pick(rng, "Tel |Tel. |Phone: |T: ") + rng.choice(
        (
            f"+{rng.randint(30, 49)} {digits(rng, 3)} {digits(rng, 6)}",
            f"({digits(rng, 3)}) {digits(rng, 3)}-{digits(rng, 4)}",
            f"0{digits(rng, 4)} {digits(rng, 6)}",
        )
    )


def new_email(rng, user):
    """An address in a domain that is reserved for examples."""
    words = "".join(c for c in user.lower() if (c.isascii() and c.isalpha()) or c == " ").split()
    return f"{'.'.join(words)}@{new_word(rng).lower()}.example"
