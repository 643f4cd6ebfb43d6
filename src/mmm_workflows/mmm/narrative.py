"""Text of a language model whose every figure is a reference that code resolves, or it is refused."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mmm_workflows.mmm.hostile import has_link
from mmm_workflows.mmm.number_words import ENGLISH, stated_figure
from mmm_workflows.mmm.results import Value

REFERENCE: Final = re.compile(r"\[\[([A-Za-z0-9_.]+)\]\]")
SENTENCE_END: Final = re.compile(r"(?<=[.!?])\s+")
MAX_SENTENCE: Final = 600
# Beyond these letters are those that look like figures, and words that no rule here can read.
LAST_LETTER: Final = "\u017f"
# A channel called "Ten" does not make every "ten" its name.
FIGURES: Final = ENGLISH | {"one"}
PERCENT: Final = frozenset("%\u2030\u2031")
LINK: Final = re.compile(
    r"https?:|www\.|\]\(|\]\s*\[|<[a-z/!]|\b[a-z0-9][a-z0-9-]+\.[a-z]{2,}\b", re.IGNORECASE
)
# A sign or a word at a reference that would make another figure of it.
CHANGED: Final = re.compile(
    r"[-+*/^~<>=#\u00b1\u00d7\u2010-\u2015\u2212\u2248]\[\[|[$\u20ac\u00a3\u00a5]\s*\[\["
    r"|\]\][\w^*/+\u00d7]|\]\]\s*[-+*/\u00d7\u2010-\u2015\u2212]\s*\[\["
    r"|\b(?:minus|plus|times|negative)\s+\[\[|\]\]\s+(?:times|squared|cubed)\b",
    re.IGNORECASE,
)
JOIN: Final = r"(?:,?\s+(?:and|or|plus|as well as)|\s*[&/+])\s*(?:the\s+)?"


class Fact(Value):
    """A figure that a text may refer to.

    Attributes:
        reference: How the text names it, without brackets.
        field: Where it stands in the result, as a JSON pointer.
        shown: How it reads, written by code with its interval and unit.
        means: What it is, for whoever writes the text.
        subject: The name that must stand nearest before it in its sentence; none for totals.
        words: One must begin a word near the figure, so that it is not passed off as another; in
            a row of figures of one kind the first is enough.
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
    """The figures of one result, every name that they may be of, and other names in it."""

    facts: tuple[Fact, ...]
    subjects: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

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
    return (*_naked(sentence, (*facts.subjects, *facts.others)), *_misread(sentence, facts))


def _naked(sentence: str, names: Sequence[str]) -> tuple[str, ...]:
    plain = " ".join(_without(names, REFERENCE.sub(" ", sentence)).split())
    # Each form may hide what the other shows: a full-width percent sign, a Roman numeral's sign.
    plain = f"{plain} {unicodedata.normalize('NFKC', plain)}"
    found = []
    if any(c.isnumeric() or c in PERCENT for c in plain):
        found.append(f"A figure stands in {sentence!r}: write a reference in its place.")
    strange = next((c for c in unicodedata.normalize("NFC", plain) if _is_strange(c)), None)
    if strange is not None:
        found.append(f"The character {strange!a} has no place here: write plain English.")
    stated = stated_figure(plain)
    if stated is not None:
        found.append(f"The word {stated!r} states a figure: write a reference, or leave it out.")
    if "[[" in plain or "]]" in plain:
        found.append(f"A reference in {sentence!r} is not closed or has other characters.")
    if CHANGED.search(sentence):
        found.append(
            "A sign or a word at a reference changes its figure: write it as it is listed."
        )
    if LINK.search(plain) or has_link(plain):
        found.append("A text must hold no address and no markup.")
    return tuple(found)


def _without(names: Sequence[str], text: str) -> str:
    """The text less the names in it; what is a figure as well as a name stays."""
    for name in sorted(names, key=len, reverse=True):
        # A name may hold digits ("Channel 4"); one that is nothing else would hide a figure.
        if any(c.isalpha() for c in name) and name.casefold() not in FIGURES:
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", " ", text)
    return text


def _is_strange(character: str) -> bool:
    """A letter of another alphabet, a mark on another sign, a picture, or what does not show."""
    if character.isalpha():
        return character > LAST_LETTER
    return unicodedata.category(character)[0] in "CM" or unicodedata.category(character) == "So"


def _misread(sentence: str, facts: Facts) -> tuple[str, ...]:
    """A figure under another's name is as wrong as an invented one."""
    found = []
    used = list(REFERENCE.finditer(sentence))
    # What is beside a figure ends at the figures before and after it.
    begins = [0, *(m.end() for m in used)]
    ends = [*(m.start() for m in used[1:]), len(sentence)]
    last: Fact | None = None
    for index, match in enumerate(used):
        fact = facts.by_reference[match.group(1)]
        if fact.subject is not None and not _is_of(fact.subject, sentence[: match.start()], facts):
            found.append(
                f"[[{fact.reference}]] is of {fact.subject}: name {fact.subject} before it in the "
                "same sentence, with no other name between them or joined to it."
            )
        near = f"{sentence[begins[index]:match.start()]} {sentence[match.end():ends[index]]}"
        if not _says(near, fact, facts) and (last is None or last.words != fact.words):
            found.append(
                f"[[{fact.reference}]] is {fact.means}: say so beside it by the word "
                f"{' or '.join(repr(word) for word in fact.words)}."
            )
        last = fact
    return tuple(found)


def _says(near: str, fact: Fact, facts: Facts) -> bool:
    # A channel may be called "Return path": its name says nothing of the figure.
    plain = _without(facts.subjects, near).lower()
    return not fact.words or any(re.search(rf"\b{re.escape(w)}", plain) for w in fact.words)


def _is_of(subject: str, before: str, facts: Facts) -> bool:
    """Whether the name stands nearest before a figure, and not in one breath with another."""
    before = REFERENCE.sub(" \u2026 ", before)
    ends = []
    for name in facts.subjects:
        at = [m for m in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", before)]
        if at:
            # Of names that end together the longest is meant.
            ends.append((at[-1].end(), len(name), name, at[-1].start()))
    if not ends or max(ends)[2] != subject:
        return False
    ahead = before[: max(ends)[3]]
    joined = re.compile(
        rf"(?<!\w)(?:{'|'.join(map(re.escape, facts.subjects))})(?:['\u2019]s)?{JOIN}$"
    )
    return joined.search(ahead) is None
