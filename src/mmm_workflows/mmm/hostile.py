"""Whether a text talks to a program instead of a reader, and text that may stand in a report."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# Phrases that are written for a language model or crawler. One is enough: what such a page says
# of returns may be planted as well, so nothing of it is evidence.
_TO_A_PROGRAM: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # In the middle of a sentence readers may forget earlier ads; an order names what to forget,
        # or opens the sentence.
        r"\b(?:ignore|disregard|forget|override|bypass)\b.{0,30}\b(?:previous|prior|above|earlier|"
        r"preceding|foregoing|system|all other|your)\b.{0,20}\b(?:instruction|prompt|message|rule"
        r"|direction|command|context|guideline|source|claim|evidence)s?\b",
        r"(?:^|[.!?:;*\n]\s?|\bplease )(?:ignore|disregard|forget)\s(?:all |any |the |everything )*"
        r"(?:previous|prior|above|earlier|preceding|foregoing)\b",
        r"\b(?:ignorier\w*|vergiss|missachte\w*)\b.{0,40}\b(?:vorherig|bisherig|obig|früher|alle)\w*",
        r"\b(?:ignore[zr]?|oublie[zr]?)\b.{0,40}\b(?:précédent|instructions)\w*",
        r"\b(?:system|developer) (?:prompt|message)\b",
        r"\b(?:new|following|updated|hidden|secret) instructions?\b",
        r"\byou are (?:now )?(?:an? |the )?(?:\w+ ){0,3}(?:assistant|language model|llm|agent|chatbot"
        r"|ai)\b",
        r"\b(?:dear|attention|note to|notice to|message for|hey|hello|instructions? (?:for|to))\b"
        r".{0,20}\b(?:ai|llms?|language models?|assistants?|agents?|crawlers?|bots?|chatbots?)\b",
        r"\bas an? (?:ai|language model|assistant)\b",
        r"<\|?/?(?:im_start|im_end|system|endoftext|inst)\|?>|\[/?INST\]",
        r"(?:^|\n) ?(?:system|assistant|user|human)\s*:",
        r"\b(?:do not|don't|never) (?:cite|mention|reveal|tell|report)\b.{0,40}\b(?:user|reader|source"
        r"|other)s?\b",
    )
)
_LINK: Final = re.compile(
    r"[a-z][a-z0-9+.-]{1,20}\s?:\s?//\S*|\bwww\s?\.\S*|\b(?:javascript|data|mailto|tel):\S+"
    r"|[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    re.IGNORECASE,
)


def addresses_a_program(text: str) -> str | None:
    """The words by which a text talks to a program; None when it talks to readers only."""
    # Compatibility forms and invisible characters are undone first: they hide words from rules.
    plain = unicodedata.normalize("NFKC", text)
    plain = "".join(c for c in plain if unicodedata.category(c) != "Cf")
    plain = re.sub(r"[^\S\n]+", " ", plain)
    spoken = (pattern.search(plain) for pattern in _TO_A_PROGRAM)
    return next((" ".join(match.group().split())[:80] for match in spoken if match), None)


def has_link(text: str) -> bool:
    """Whether a text holds an address that a reader's program could follow."""
    return _LINK.search(unicodedata.normalize("NFKC", text)) is not None


def without_links(text: str) -> str:
    """The text on one line without the addresses in it; for short texts, such as titles."""
    return " ".join(_LINK.sub(" ", unicodedata.normalize("NFKC", text)).split())


def has_hidden_characters(text: str) -> bool:
    """Whether a text holds characters that do not show, turn its direction or break its line."""
    return any(unicodedata.category(c) in ("Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp") for c in text)
