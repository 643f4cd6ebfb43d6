"""Selectors of style rules, read in the wider of two readings where one is not understood."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from lxml.html import HtmlElement

ESCAPE: Final = re.compile(r"\\([0-9a-fA-F]{1,6})\s?|\\(.)", re.S)
COMPOUND: Final = re.compile(
    r"""(?P<tag>[a-zA-Z*][\w-]*|\*)|\#(?P<id>[\w-]+)|\.(?P<cls>[\w-]+)"""
    r"""|\[\s*(?P<attr>[\w-]+)\s*(?:(?P<op>[~|^$*]?=)\s*["']?(?P<val>[^"'\]]*)["']?\s*[is]?)?\s*\]"""
    r"""|(?P<pseudo>::?[\w-]+(?:\([^()]*\))?)""",
)
# States and parts that no text is in while a page is just being read.
NOT_NOW: Final = re.compile(
    r"::|:(hover|focus|active|visited|target|checked|disabled|enabled|invalid|valid|empty|before"
    r"|after|first-l|placeholder|selection|fullscreen|open|popover-open|modal|autofill|required"
    r"|read-|default|indeterminate|playing|paused|host|defined\b)"
)
# A longer one could keep a pattern busy.
LONGEST_SELECTOR: Final = 1000


@dataclass(frozen=True)
class Compound:
    """What one element must be: ``p.note[hidden]``; ``parent_only`` for ``>`` before it."""

    tag: str
    ids: tuple[str, ...]
    classes: frozenset[str]
    attributes: tuple[tuple[str, str | None], ...]
    parent_only: bool

    def matches(self, element: HtmlElement) -> bool:
        """Whether the element is of this kind, whatever stands above it."""
        return (
            self.tag in ("*", element.tag)
            and all(element.get("id", "").lower() == name for name in self.ids)
            and (not self.classes or self.classes <= classes_of(element))
            and all(_has(element, name, value) for name, value in self.attributes)
        )


def chain_of(selector: str) -> tuple[Compound, ...]:
    """The compounds from the outermost to the element itself; empty when none can be read."""
    if len(selector) > LONGEST_SELECTOR:
        return ()
    spaced = re.sub(r"\s*([>+~])(?![=])\s*", r" \1 ", selector)
    chain: list[Compound] = []
    direct = False
    for word in re.findall(r"(?:\[[^\]]*\]|\([^()]*\)|[^\s\[(])+", unescaped(spaced)):
        if word in (">", "+", "~"):
            # A sibling's condition is left out, which is the wider reading.
            direct = word == ">"
            chain = chain if direct else chain[:-1]
            continue
        compound = _compound(word, direct and bool(chain))
        if compound is None:
            return ()
        chain.append(compound)
        direct = False
    return tuple(chain)


def key_of(compound: Compound) -> str:
    """What an element must have to be tried at all: an id, a class or a tag."""
    if compound.ids:
        return f"#{compound.ids[0]}"
    if compound.classes:
        return f".{min(compound.classes)}"
    return compound.tag


def reaches(chain: tuple[Compound, ...], element: HtmlElement) -> bool:
    """Whether a rule with these compounds, outermost first, is about the element."""
    if not chain[-1].matches(element):
        return False
    above = element.getparent()
    for compound, below in zip(reversed(chain[:-1]), reversed(chain[1:]), strict=True):
        while above is not None and not compound.matches(above) and not below.parent_only:
            above = above.getparent()
        if above is None or not compound.matches(above):
            return False
        above = above.getparent()
    return True


def classes_of(element: HtmlElement) -> set[str]:
    """The classes of an element, in lower case."""
    # Pages without a doctype compare without regard to case, so all are.
    return set(element.get("class", "").lower().split())


def unescaped(css: str) -> str:
    """A text of a style rule with the characters that its escapes stand for."""
    return ESCAPE.sub(_character, css)


def _character(match: re.Match[str]) -> str:
    code = match.group(1)
    if code is None:
        return match.group(2)
    number = int(code, 16)
    return chr(number) if 0 < number < 0x110000 and not 0xD800 <= number < 0xE000 else ""


def _compound(word: str, parent_only: bool) -> Compound | None:
    tag, ids, classes, attributes = "*", [], set(), []
    position = 0
    while position < len(word):
        match = COMPOUND.match(word, position)
        if match is None or NOT_NOW.match(match["pseudo"] or ""):
            return None
        if match["tag"]:
            tag = match["tag"].lower()
        elif match["id"]:
            ids.append(match["id"].lower())
        elif match["cls"]:
            classes.add(match["cls"].lower())
        elif match["attr"]:
            attributes.append((match["attr"].lower(), match["val"] if match["op"] == "=" else None))
        position = match.end()
    if word.startswith(":") and tag == "*" and not (ids or classes or attributes):
        # ``:where(.a)`` without its argument would be everything.
        tag = "html" if word == ":root" else ""
    return Compound(tag, tuple(ids), frozenset(classes), tuple(attributes), parent_only)


def _has(element: HtmlElement, name: str, value: str | None) -> bool:
    found = element.get(name)
    return found is not None and (value is None or found.lower() == value.lower())
