"""Text from elsewhere as Markdown that shows it and does nothing else."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, urlsplit

from mmm_workflows.mmm.hostile import has_hidden_characters, without_links

MAX_TITLE_CHARACTERS: Final = 120
_HTML: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]()#!|~$^=])")
_IN_URL: Final = "/:?#@!$&'*+,;=%-._~"


def escaped(text: str) -> str:
    """The text on one line, with nothing in it that Markdown or HTML would act on."""
    shown = "".join(" " if has_hidden_characters(c) else c for c in text)
    html = "".join(_HTML.get(c, c) for c in _SPECIAL.sub(r"\\\1", " ".join(shown.split())))
    return html


def title_of(title: str) -> str:
    """A page's title without addresses, shortened and escaped; never empty."""
    plain = without_links(title[:1000])
    short = plain if len(plain) <= MAX_TITLE_CHARACTERS else f"{plain[:MAX_TITLE_CHARACTERS]}..."
    return escaped(short) or "untitled"


def link(title: str, url: str) -> str:
    """A Markdown link to an http(s) address; nothing in the address can end the link early."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"only http and https addresses are linked, not {url[:80]!r}")
    return f"[{title_of(title)}](<{quote(url, safe=_IN_URL)}>)"
