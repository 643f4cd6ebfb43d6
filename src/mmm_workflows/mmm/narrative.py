"""Text of a language model whose every figure is a reference that code resolves, or it is refused."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mmm_workflows.mmm.results import Value

REFERENCE: Final = re.compile(r"\[\[([A-Za-z0-9_.]+)\]\]")
SENTENCE_END: Final = re.compile(r"(?<=[.!?])\s+")
MAX_SENTENCE: Final = 600
# Words that state a figure. "One" and "first" are left out: English uses them for other things.
NUMBER_WORDS: Final = frozenset({
    "zero", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
    "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred",
    "hundreds", "thousand", "thousands", "million", "millions", "billion", "billions", "trillion",
    "dozen", "dozens", "half", "halves", "halved", "halving", "double", "doubles", "doubled",
    "doubling", "twice", "thrice", "triple", "triples", "tripled", "tripling", "quadruple",
    "quadrupled", "tenfold", "twofold", "threefold", "percent", "percentage", "thirds",
    "quarters", "fifths", "tenths",
})  # fmt: skip
FRACTION: Final = re.compile(
    r"\b(?:a|an|one)[ -](?:third|quarter|fifth|sixth|eighth|tenth)\b(?![ -]party)", re.IGNORECASE
)
LINK: Final = re.compile(r"https?:|www\.|\]\(|<[a-z/!]", re.IGNORECASE)
WORD: Final = re.compile(r"[^\W\d_]+")


class Fact(Value):
    """A figure that a text may refer to.

    Attributes:
        reference: How the text names it, without brackets.
        field: Where it stands in the result, as a JSON pointer.
        shown: How it reads, written by code with its interval and unit.
        means: What it is, for whoever writes the text.
        subject: The name that must stand nearest before it in its sentence; none for totals.
        words: The sentence must hold one of these, so that a figure is not passed off as another.
    """

    reference: str
    field: str
    shown: str
    means: str
    subject: str | None = None
    words: tuple[str, ...] = ()


class CitedFigure(Value):
    """A figure of a text and the field of the result that it was read from."""

    shown: str
    field: str


@dataclass(frozen=True)
class Facts:
    """The figures of one result, and every name that a sentence may be about."""

    facts: tuple[Fact, ...]
    subjects: tuple[str, ...] = ()

    @property
    def by_reference(self) -> Mapping[str, Fact]:
        """Each fact by its reference."""
        return {fact.reference: fact for fact in self.facts}

    def listed(self) -> str:
        """The facts as a writer is shown them, one per line."""
        return "\n".join(f"[[{f.reference}]] = {f.shown} ({f.means})" for f in self.facts)


def slugs(names: Sequence[str]) -> tuple[str, ...]:
    """Names as parts of references: letters, digits and underscores, each of them distinct."""
    made: list[str] = []
    for name in names:
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
        slug = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_") or "name"
        while slug in made:
            slug += "_"
        made.append(slug)
    return tuple(made)


def faults(sentences: Sequence[str], facts: Facts) -> tuple[str, ...]:
    """What is wrong with a text, in sentences that tell its writer what to do; nothing if it stands."""
    if not any(s.strip() for s in sentences):
        return ("The text is empty.",)
    return tuple(fault for text in sentences for s in split(text) for fault in _faults(s, facts))


def resolve(sentences: Sequence[str], facts: Facts) -> tuple[str, ...]:
    """The text with each reference replaced by its figure.

    Raises:
        KeyError: A reference is not among the facts; ``faults`` would have said so.
    """
    known = facts.by_reference
    return tuple(
        REFERENCE.sub(lambda match: known[match.group(1)].shown, text.strip())
        for text in sentences
        if text.strip()
    )


def cited(sentences: Sequence[str], facts: Facts) -> tuple[CitedFigure, ...]:
    """The figures that a text uses, in its order, each once."""
    known = facts.by_reference
    used = [known[name] for text in sentences for name in REFERENCE.findall(text)]
    return tuple(
        CitedFigure(shown=fact.shown, field=fact.field)
        for fact in {fact.reference: fact for fact in used}.values()
    )


def split(text: str) -> tuple[str, ...]:
    """The sentences of a text."""
    return tuple(s for s in SENTENCE_END.split(text.strip()) if s)


def _faults(sentence: str, facts: Facts) -> tuple[str, ...]:
    if len(sentence) > MAX_SENTENCE:
        return (f"A sentence has {len(sentence)} characters; at most {MAX_SENTENCE} are taken.",)
    known = facts.by_reference
    unknown = [name for name in REFERENCE.findall(sentence) if name not in known]
    if unknown:
        return (f"There is no figure [[{unknown[0]}]]: use those that are listed.",)
    return (*_naked(sentence, facts.subjects), *_misread(sentence, facts))


def _naked(sentence: str, names: Sequence[str]) -> tuple[str, ...]:
    plain = REFERENCE.sub(" ", sentence)
    # A name may hold digits ("Channel 4"); one that is nothing else would hide a figure.
    for name in sorted(names, key=len, reverse=True):
        if any(c.isalpha() for c in name):
            plain = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", " ", plain)
    # Each form may hide what the other shows: a full-width percent sign, a Roman numeral's sign.
    plain = f"{plain} {unicodedata.normalize('NFKC', plain)}"
    found = []
    if any(c.isnumeric() for c in plain) or "%" in plain:
        found.append(f"A figure stands in {sentence!r}: write a reference in its place.")
    stated = [w for w in WORD.findall(plain) if w.lower() in NUMBER_WORDS]
    stated += FRACTION.findall(plain)
    if stated:
        found.append(f"The word {stated[0]!r} states a figure: write a reference, or leave it out.")
    if "[[" in plain or "]]" in plain:
        found.append(f"A reference in {sentence!r} is not closed or has other characters.")
    if LINK.search(plain):
        found.append("A text must hold no address and no markup.")
    return tuple(found)


def _misread(sentence: str, facts: Facts) -> tuple[str, ...]:
    """A figure under another's name is as wrong as an invented one."""
    found = []
    for match in REFERENCE.finditer(sentence):
        fact = facts.by_reference[match.group(1)]
        nearest = _nearest(REFERENCE.sub(" ", sentence[: match.start()]), facts.subjects)
        if fact.subject is not None and nearest != fact.subject:
            found.append(
                f"[[{fact.reference}]] is of {fact.subject}: name {fact.subject} before it in the "
                "same sentence, and no other name between them."
            )
        plain = REFERENCE.sub(" ", sentence).lower()
        if fact.words and not any(word in plain for word in fact.words):
            found.append(
                f"[[{fact.reference}]] is {fact.means}: say so in its sentence by the word "
                f"{' or '.join(repr(word) for word in fact.words)}."
            )
    return tuple(found)


def _nearest(before: str, subjects: Sequence[str]) -> str | None:
    """The name that ends last in the text; of names that end together the longest."""
    ends = []
    for name in subjects:
        at = [m.end() for m in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", before)]
        if at:
            ends.append((at[-1], len(name), name))
    return max(ends)[2] if ends else None
