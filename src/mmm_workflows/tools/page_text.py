"""The text of a page that a reader sees, main part first; hidden text and pixels are left out."""

from __future__ import annotations

import logging
import re
import unicodedata
from typing import Final

import trafilatura
from lxml import etree
from lxml.html import HtmlElement, HTMLParser, document_fromstring

from mmm_workflows.errors import WebError
from mmm_workflows.tools.unseen import remove_unseen

# Of one page; a page of more is no article, and would keep a thread for long.
MOST_CHARACTERS: Final = 2_000_000
MOST_ELEMENTS: Final = 30_000
LONGEST_TITLE: Final = 300
# Below this, trafilatura takes whatever it finds, and breaks paragraphs at each bold word.
SHORTEST_MAIN: Final = 250
# What heuristics over a hostile tree may raise; the whole text then stands for the main part.
GIVEN_UP: Final = (
    etree.LxmlError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RecursionError,
)
_BREAKS: Final = """
    address article aside blockquote br dd div dl dt fieldset figcaption figure footer form h1 h2
    h3 h4 h5 h6 header hr legend li main nav ol p pre section table td th tr ul
"""
BREAKS: Final = frozenset(_BREAKS.split())
# Unicode's default ignorable characters, blanks that are letters by class, controls, private use
# and tag characters: all carry text past a reader.
NOT_SEEN: Final = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ud800-\udfff\ue000-\uf8ff\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U0010ffff]"
)
# Its remarks on pages without an article are nothing that a user could act on.
logging.getLogger("trafilatura").addHandler(logging.NullHandler())


def visible_text(html: str, *, url: str) -> tuple[str, str]:
    """Title and main text of a page, paragraphs apart by a blank line.

    What no reader sees is taken out first; see ``unseen``. Where no main part of some length is
    found, the text of the whole page stands for it.

    Args:
        html: The page, decoded.
        url: Only for the sentence of an error.

    Raises:
        WebError: The page has too many characters, elements or style rules (``page_too_large``), or cannot
            be read as HTML (``page_type``).
    """
    if len(html) > MOST_CHARACTERS:
        raise _too_large(url, f"{len(html):,} characters; {MOST_CHARACTERS:,}")
    root = _parsed(html, url)
    if root is None:
        return "", ""
    elements = sum(1 for _ in root.iter())
    if elements > MOST_ELEMENTS:
        raise _too_large(url, f"{elements:,} elements; {MOST_ELEMENTS:,}")
    title = " ".join(_seen_characters(root.findtext(".//title") or "").split())[:LONGEST_TITLE]
    remove_unseen(root)
    return title, plain_text(_main_text(root) or _whole_text(root))


def plain_text(text: str) -> str:
    """A text without characters that nobody sees; blanks are single, paragraphs stay apart."""
    lines = (" ".join(line.split()) for line in _seen_characters(text).splitlines())
    return "\n\n".join(line for line in lines if line)


def _parsed(html: str, url: str) -> HtmlElement | None:
    parser = HTMLParser(encoding="utf-8", no_network=True, huge_tree=False)
    try:
        return document_fromstring(html.encode("utf-8", "replace"), parser=parser)
    except etree.ParserError:
        # This is how lxml says that there is no element in it.
        return None
    except etree.LxmlError as error:
        raise WebError(f"The page {url} cannot be read as HTML.", code="page_type") from error


def _main_text(root: HtmlElement) -> str | None:
    try:
        text: str | None = trafilatura.extract(
            root,
            output_format="txt",
            fast=True,
            include_comments=False,
            include_tables=True,
            include_images=False,
            include_links=False,
            include_formatting=False,
            deduplicate=False,
            with_metadata=False,
        )
    except GIVEN_UP:
        return None
    return text if text and len(text) >= SHORTEST_MAIN else None


def _whole_text(root: HtmlElement) -> str:
    pieces: list[str] = []
    for event, element in etree.iterwalk(root, events=("start", "end")):
        if element.tag in BREAKS:
            pieces.append("\n")
        pieces.append((element.text if event == "start" else element.tail) or "")
    return "".join(pieces)


def _seen_characters(text: str) -> str:
    return unicodedata.normalize("NFC", NOT_SEEN.sub("", text))


def _too_large(url: str, found: str) -> WebError:
    return WebError(f"The page {url} has {found} are taken.", code="page_too_large")
