"""The text of bytes from the web, or a refusal: no character is ever replaced by a guess."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Final

from charset_normalizer import from_bytes

from mmm_workflows.errors import WebError

BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
META: Final = re.compile(
    rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([a-zA-Z0-9_:.+-]{1,40})""", re.I
)
META_WITHIN: Final = 4096
# The encodings of the web, after the WHATWG standard. Python knows more: utf-7 hides markup,
# and zlib or rot13 are no encodings at all.
OFFERED: Final = frozenset(
    {"utf-8", "utf-16-le", "utf-16-be"}
    | {"cp866", "cp874", "koi8-r", "koi8-u", "mac-roman", "mac-cyrillic"}
    | {f"cp125{n}" for n in range(9)}
    | {f"iso8859-{n}" for n in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)}
    | {"gb18030", "big5hkscs", "euc_jp", "iso2022_jp", "cp932", "cp949"}
)
# Browsers read the label on the left as the encoding on the right, a superset of it.
READ_AS: Final = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "utf-16": "utf-16-le",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
}
# Sure single-byte guesses; charset_normalizer compares how natural the texts look.
GUESSED: Final = sorted(OFFERED - {"utf-16-le", "utf-16-be"})
MOST_CONTROLS_0_1: Final = 0.01
NO_TEXT: Final = re.compile(r"[\x01-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f]")


def decoded(body: bytes, *, declared: str | None, host: str) -> str:
    """The text of a body.

    A byte order mark is believed first, then valid UTF-8, then what the header or the page itself
    declares, and at last the encoding in which the text looks most natural.

    Raises:
        WebError: It is not text in any of the web's encodings (``page_type``).
    """
    for bom, name in BOMS:
        if body.startswith(bom):
            return _checked(_in(body[len(bom) :], name), host)
    for name in _declared_names(body, declared):
        if (text := _in(body, name)) is not None:
            return _checked(text, host)
    best = from_bytes(body, cp_isolation=list(GUESSED)).best()
    return _checked(None if best is None else str(best), host)


def _declared_names(body: bytes, declared: str | None) -> Iterator[str]:
    meta = META.search(body[:META_WITHIN])
    labels = [declared, meta.group(1).decode("ascii") if meta else None]
    names = [name for label in labels if label and (name := _name(label))]
    # Bytes above ASCII that are valid UTF-8 are UTF-8 whatever a server believes.
    wide = any(name.startswith("utf-16") for name in names)
    if not body.isascii() and not wide:
        yield "utf-8"
    yield from names
    if not names:
        yield "utf-8"


def _name(label: str) -> str | None:
    try:
        name = codecs.lookup(label.strip().strip("\"'")).name
    except (LookupError, ValueError):
        return None
    name = READ_AS.get(name, name)
    return name if name in OFFERED else None


def _in(body: bytes, name: str) -> str | None:
    try:
        return body.decode(name)
    except UnicodeDecodeError:
        return None


def _checked(text: str | None, host: str) -> str:
    if text is None:
        raise WebError(
            f"The page of {host} is in no encoding of the web, so it is not read as text.",
            code="page_type",
        )
    controls = len(NO_TEXT.findall(text))
    if "\0" in text or controls > len(text) * MOST_CONTROLS_0_1:
        raise WebError(f"The page of {host} says that it is text, and is not.", code="page_type")
    return text
