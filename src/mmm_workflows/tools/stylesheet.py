"""The style rules of a page, as far as they say what a reader does not see.

This is no browser: style sheets in files of their own and scripts are unknown. Every rule that
could hide is believed, whatever comes after it, and a selector is read in the wider of two
readings. So rather too much is hidden than too little.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from lxml.html import HtmlElement

from mmm_workflows.errors import WebError
from mmm_workflows.tools.css_selectors import (
    Compound,
    chain_of,
    classes_of,
    key_of,
    reaches,
    unescaped,
)

type Declarations = tuple[tuple[str, str], ...]

COMMENT: Final = re.compile(r"/\*.*?(?:\*/|\Z)", re.S)
WITHOUT_RULES: Final = re.compile(
    r"@(-\w+-)?(keyframes|font-face|page|property|counter-style)", re.I
)
PX: Final = re.compile(r"(min|max)-width\s*:\s*(\d{1,9}(?:\.\d{1,9})?)\s*(px|em|rem)?", re.I)
SCREEN_PX: Final = 1280.0
EM_PX: Final = 16.0
# Longer ones are pictures written into the page; a hostile one could keep a pattern busy.
LONGEST_VALUE: Final = 200
MOST_RULES: Final = 20_000
MOST_TRIES: Final = 300_000
DEEPEST: Final = 8
MOST_VARIABLES: Final = 5_000
MOST_VALUES: Final = 8
VARIABLE: Final = re.compile(r"var\(\s*(--[\w-]+)\s*(?:,([^()]*))?\)")
COLOURED: Final = re.compile(r"color|background")
TOLD: Final = re.compile(
    r"display|visibility|opacity|filter|clip|scale|zoom|left|right|top|bottom|margin|inset|indent"
    r"|transform|translate|width|height|overflow|font|color|background"
)


type _Rule = tuple[int, tuple[Compound, ...], Declarations]


class StyleSheet:
    """Rules by what their last part asks for, so that few are tried on an element."""

    def __init__(self) -> None:
        self._by_key: dict[str, list[_Rule]] = {}
        self._count = 0
        self._variables: dict[str, list[str]] = {}
        self._blocks = 0
        self._tries = 0

    def add(self, css: str) -> None:
        """Read the text of one style element; what cannot be read is left out.

        Raises:
            WebError: The page has too many rules (``page_too_large``).
        """
        self._blocks += css.count("{")
        if self._blocks > MOST_RULES:
            raise _too_many()
        for selector, declarations in _rules(COMMENT.sub(" ", css), 0):
            self._learn(declarations)
            if not any(TOLD.search(name) for name, _ in declarations):
                continue
            for one in _split(selector, ","):
                if chain := chain_of(one):
                    self._count += 1
                    rule = (self._count, chain, declarations)
                    self._by_key.setdefault(key_of(chain[-1]), []).append(rule)

    def of(self, element: HtmlElement) -> Declarations:
        """Every declaration that reaches the element, in the order of the page, inline ones last.

        Raises:
            WebError: The page has so many rules and elements that trying them would take minutes
                (``page_too_large``).
        """
        keys = {element.tag, "*", f"#{element.get('id', '').lower()}"}
        keys |= {f".{name}" for name in classes_of(element)}
        tried = [rule for key in keys for rule in self._by_key.get(key, ())]
        self._tries += len(tried)
        if self._tries > MOST_TRIES:
            raise _too_many()
        found = sorted(
            (rule for rule in tried if reaches(rule[1], element)), key=lambda rule: rule[0]
        )
        ordered = [d for _, _, declarations in found for d in declarations]
        ordered += parsed_declarations(element.get("style", ""))
        self._learn(ordered)
        return tuple(one for said in ordered for one in self._filled(said))

    def _learn(self, declarations: Iterable[tuple[str, str]]) -> None:
        for name, value in declarations:
            if name.startswith("--") and len(self._variables) < MOST_VARIABLES:
                self._variables.setdefault(name, []).append(value)

    def _filled(self, said: tuple[str, str]) -> Iterator[tuple[str, str]]:
        """A declaration, also with each value that its variable was given anywhere."""
        yield said
        name, value = said
        # Colours are left alone: a page that can be dark has a white for its letters.
        match = VARIABLE.fullmatch(value)
        if match and not COLOURED.search(name):
            values = (*self._variables.get(match[1], ())[:MOST_VALUES], match[2])
            yield from ((name, filled.strip()) for filled in values if filled)


def parsed_declarations(css: str) -> Declarations:
    """Names and values in lower case, without comments, escapes and ``!important``."""
    plain = unescaped(COMMENT.sub(" ", css))
    pairs = (part.partition(":") for part in plain.split(";"))
    return tuple(
        (name.strip().lower(), value[:LONGEST_VALUE].lower().replace("!important", "").strip())
        for name, colon, value in pairs
        if colon
    )


def _rules(css: str, depth: int) -> Iterator[tuple[str, Declarations]]:
    for prelude, block in _blocks(css):
        if WITHOUT_RULES.match(prelude) or not _is_for_screens(prelude) or depth > DEEPEST:
            continue
        if prelude.startswith("@"):
            yield from _rules(block, depth + 1)
            continue
        inner = list(_blocks(block))
        yield prelude, parsed_declarations(_outside_of_blocks(block))
        for nested, content in inner:
            name = nested.replace("&", prelude if nested.strip() == "&" else "")
            yield from _rules(f"{name}{{{content}}}", depth + 1)


def _blocks(css: str) -> Iterator[tuple[str, str]]:
    """What stands before each outermost pair of braces, and what stands in it."""
    start, opened, depth = 0, 0, 0
    for match in re.finditer(r"[{};]", css):
        sign, at = match.group(), match.start()
        if sign == "{":
            depth += 1
            if depth == 1:
                opened = at
        elif sign == "}" and depth:
            depth -= 1
            if depth == 0:
                yield css[start:opened].strip(), css[opened + 1 : at]
                start = at + 1
        elif depth == 0:
            start = at + 1
    if depth:
        # A browser closes what the page left open.
        yield css[start:opened].strip(), css[opened + 1 :]


def _outside_of_blocks(block: str) -> str:
    kept, depth = [], 0
    for piece in re.split(r"([{}])", block):
        if piece in "{}" and piece:
            depth = max(0, depth + (1 if piece == "{" else -1))
            kept.append(";")
        elif depth == 0:
            kept.append(piece)
    return "".join(kept)


def _is_for_screens(prelude: str) -> bool:
    """False for a media rule that a wide screen does not follow."""
    if not prelude.lower().startswith("@media"):
        return True
    query = prelude.lower()
    if re.search(r"\b(print|speech)\b", query) and "screen" not in query and "not" not in query:
        return False
    for bound, number, unit in PX.findall(query):
        px = float(number) * (1.0 if unit in ("", "px") else EM_PX)
        if (px > SCREEN_PX) if bound == "min" else (px < SCREEN_PX):
            return "," in query
    return True


def _split(text: str, sign: str) -> list[str]:
    """The parts between commas that stand in no bracket."""
    parts, depth, start = [], 0, 0
    for at, character in enumerate(text):
        if character in "([":
            depth += 1
        elif character in ")]":
            depth = max(0, depth - 1)
        elif character == sign and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]


def _too_many() -> WebError:
    return WebError("The page has more style rules than are tried.", code="page_too_large")
