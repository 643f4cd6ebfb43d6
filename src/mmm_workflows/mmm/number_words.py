"""Words that state a figure: of English, and of its neighbours, in which a model may slip."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# "One" and "first" are left out: English uses them for other things; so is what reads as
# another word: "due", "once", "seize", "tiers", "Meta".
ENGLISH: Final = frozenset({
    "zero", "nil", "naught", "nought", "two", "three", "four", "five", "six", "seven", "eight",
    "nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen",
    "eighteen", "nineteen", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty",
    "ninety", "hundred", "thousand", "million", "billion", "trillion", "dozen", "tens", "twenties",
    "thirties", "forties", "fifties", "sixties", "seventies", "eighties", "nineties", "hundreds",
    "thousands", "millions", "billions", "trillions", "dozens", "half", "halves", "halve",
    "halved", "halving", "double", "doubles", "doubled", "doubling", "twice", "thrice", "treble",
    "trebles", "trebled", "trebling", "triple", "triples", "tripled", "tripling", "quadruple",
    "quadruples", "quadrupled", "quadrupling", "quintuple", "quintuples", "quintupled",
    "quintupling", "percent", "percentage", "cent", "thirds", "quarters", "fifths", "sixths",
    "eighths", "tenths", "hundredth", "hundredths", "thousandth", "thousandths",
})  # fmt: skip
# Without accents, as ``_folded`` makes them: German, Dutch, French, Spanish, Italian, Portuguese.
_OF_NEIGHBOURS: Final = """
zwei drei vier funf sechs sieben acht neun zehn elf zwolf sechzehn siebzehn zwanzig dreissig vierzig
funfzig sechzig siebzig achtzig neunzig hundert tausend millionen milliarde milliarden halb halfte
drittel viertel doppelt prozent
twee drie vijf zes zeven negen tien twaalf dertien veertien twintig dertig veertig vijftig zestig
zeventig tachtig negentig honderd duizend miljoen helft dubbel procent
deux trois quatre cinq sept huit neuf dix onze douze treize quatorze quinze vingt trente quarante
cinquante soixante mille moitie quart pourcent
dos tres cuatro cinco seis siete ocho nueve diez doce trece catorce quince dieciseis veinte veintiun
treinta cuarenta cincuenta sesenta setenta ochenta noventa cien ciento mil millon millones mitad
doble
tre quattro cinque sei sette otto nove dieci undici dodici venti trenta quaranta cinquanta sessanta
settanta ottanta novanta cento mila doppio
dois duas quatro sete oito nove dez vinte trinta quarenta cinquenta cem metade dobro
"""
NEIGHBOURS: Final = frozenset(_OF_NEIGHBOURS.split())
# What may stand in one word with the others: "hundredfold", "zweiundzwanzig", "einhundert".
_GLUE: Final = ("one", "and", "fold", "ein", "und", "en", "et", "y")
_STRONG: Final = "|".join(sorted(ENGLISH | NEIGHBOURS, key=len, reverse=True))
_ANY: Final = f"{_STRONG}|{'|'.join(_GLUE)}"
_NUMBER: Final = re.compile(rf"(?:{_ANY})*(?:{_STRONG})(?:{_ANY})*")
_WORD: Final = re.compile(r"[^\W\d_]+")
_ROMAN: Final = re.compile(r"\b[IVX]{2,}\b")
_HALF_LIFE: Final = re.compile(r"\bhalf[ -]li(?:fe|ves)\b", re.IGNORECASE)
_FRACTION: Final = re.compile(
    r"\b(?:a|an|one)[ -](?:third|quarter|fifth|sixth|eighth|tenth)\b(?![ -]party)", re.IGNORECASE
)
_ONE: Final = re.compile(
    r"\b(?:of|above|below|over|under|than|at|about|around|near|nearly|almost|exactly|by|to"
    r"|equals?|exceeds?|reach(?:es|ed)?)\s+one\b(?=\s*(?:[.,;:!?)]|$|(?:and|or|is|means|with)\b))"
    r"|\bone[ -](?:to[ -]one|per|in|euros?|dollars?|pounds?|units?|days?|weeks?|months?|years?"
    r"|points?)\b",
    re.IGNORECASE,
)


def stated_figure(text: str) -> str | None:
    """The first word or phrase of a text that states a figure; None when none does."""
    plain = _HALF_LIFE.sub(" ", text)
    for pattern in (_ROMAN, _FRACTION, _ONE):
        if found := pattern.search(plain):
            return found.group()
    return next((word for word in _WORD.findall(plain) if _NUMBER.fullmatch(_folded(word))), None)


def _folded(word: str) -> str:
    """The word in small letters without its accents: "fünf" as "funf", "dreißig" as "dreissig"."""
    apart = unicodedata.normalize("NFKD", word.casefold())
    return "".join(c for c in apart if not unicodedata.combining(c))
