"""Claims: what a page says of a channel, in its own words, checked against the page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import Field, model_validator

from mmm_workflows.errors import MMMError
from mmm_workflows.mmm.claim_context import Method, PageFacts, facts_of
from mmm_workflows.mmm.claim_statements import state, why_no_statement
from mmm_workflows.mmm.hostile import addresses_a_program, has_hidden_characters, has_link
from mmm_workflows.mmm.pages import Page, WebRecord, text_sha256
from mmm_workflows.mmm.quoted_numbers import DecimalMark, decimal_mark
from mmm_workflows.mmm.quoting import find_quote, is_clause, one_line, sentences, sentences_around
from mmm_workflows.mmm.readings import Kpi, Reading, Unit, readings_of, turns_around
from mmm_workflows.mmm.source_tiers import KNOWN_HOSTS, SourceTier, tier_of

MAX_QUOTE_CHARACTERS: Final = 300
MAX_URL_CHARACTERS: Final = 2000
MAX_TITLE_CHARACTERS: Final = 300


class ProposedClaim(WebRecord):
    """What the rules or a model say that a page says; a claim only once ``make_claim`` took it.

    Attributes:
        quote: The page's own words, at most 300 characters.
        value: The figure as the quote writes it: 320 for "320 %"; None for a KPI without one.
        value_to: The upper end where the quote gives a range.
        statement: One sentence without figures of its own; left out, code writes it.
        geography, period, method: Left out, they are read from the page where it is clear.
    """

    quote: str
    kpi: Kpi
    channel: str
    value: float | None = None
    value_to: float | None = None
    unit: Unit = Unit.NONE
    statement: str | None = None
    geography: str | None = None
    period: str | None = None
    method: Method | None = None


class Claim(WebRecord):
    """A checked statement of a page; only ``make_claim`` makes one.

    Attributes:
        claim_id: ``C-`` and the hash of everything else but when the page was read.
        span: Where the quote stands in the page's text, ``text[start:end]``.
        value: The figure as written, in ``unit``; ``value_to`` is the upper end of a range.
        written: The text of the figure in the quote.
        per: The period that a carry-over is said for.
        geography: A country or ``Europe``; None when the page does not tell.
        period: ``2019`` or ``2019-2021``; None when the page does not tell.
        title, url: Of the page after redirects: hostile text until it is escaped.
    """

    claim_id: str
    statement: str
    quote: str
    page_sha256: str
    span: tuple[int, int]
    kpi: Kpi
    channel: str
    value: float | None = None
    value_to: float | None = None
    unit: Unit = Unit.NONE
    written: str = ""
    per: Unit = Unit.NONE
    is_net: bool = False
    is_profit: bool = False
    geography: str | None = None
    category: str | None = None
    period: str | None = None
    method: Method = Method.UNKNOWN
    tier: SourceTier
    title: str
    url: str = Field(max_length=MAX_URL_CHARACTERS)
    fetched_at: datetime

    @model_validator(mode="after")
    def _is_what_its_id_says(self) -> Claim:
        if self.claim_id != _claim_id(self.model_dump(mode="json")):
            raise ValueError(f"the claim {self.claim_id} was changed after it was checked")
        return self


@dataclass(frozen=True)
class CheckedPage:
    """A page that claims can be made from, with what it says as a whole; ``check_page`` makes it."""

    page: Page
    tier: SourceTier
    facts: PageFacts
    decimals: DecimalMark | None
    sentences: tuple[tuple[int, int], ...]


def check_page(page: Page, *, hosts: Mapping[str, SourceTier] = KNOWN_HOSTS) -> CheckedPage:
    """The page, ready for ``make_claim``.

    Args:
        page: The page as it was read.
        hosts: The tiers of hosts, such as the operator's own sources.

    Raises:
        MMMError: The page has changed, has no address that can be cited, or speaks to a program
            (``claim_invalid``).
    """
    if text_sha256(page.text) != page.sha256:
        raise _refused("The page's text has changed since its hash was taken. Read it again.")
    if not page.final_url.startswith(("http://", "https://")):
        raise _refused(f"A page at {page.final_url[:80]!r} cannot be cited; http(s) can.")
    if len(page.final_url) > MAX_URL_CHARACTERS:
        raise _refused(f"The page's address is longer than {MAX_URL_CHARACTERS} characters.")
    said = addresses_a_program(f"{page.title}\n{page.text}")
    if said is not None:
        raise _refused(f"The page speaks to a program ({said!r}), so nothing of it is evidence.")
    return CheckedPage(
        page=page,
        tier=tier_of(page.final_url, page.title, hosts),
        facts=facts_of(page),
        decimals=decimal_mark(page.text),
        sentences=tuple(sentences(page.text)),
    )


def make_claim(checked: CheckedPage, proposed: ProposedClaim) -> Claim:
    """The claim that a page makes, once every part of it was found in the page.

    White space aside, the quote must stand in the page's text; it must say, in the one possible
    reading, the proposed KPI, channel, figure and unit; the sentence around it must not turn that
    around.

    Raises:
        MMMError: Something is not in the page or not in the quote (``claim_invalid``).
    """
    page, facts = checked.page, checked.facts
    quote = one_line(proposed.quote)
    span = _check_quote(checked, quote)
    reading = _check_reading(checked, quote, proposed)
    statement = proposed.statement or state(reading)
    if proposed.statement is not None and (reason := why_no_statement(statement, quote)):
        raise _refused(f"The statement {statement[:80]!r} {reason}.")
    body = {
        **reading.model_dump(),
        "statement": statement,
        "quote": quote,
        "page_sha256": page.sha256,
        "span": span,
        "geography": _checked(facts.geography(quote, proposed.geography), proposed.geography),
        "category": facts.category,
        "period": _checked(facts.period(quote, proposed.period), proposed.period),
        "method": _checked(facts.method(quote, proposed.method), proposed.method),
        "tier": checked.tier,
        "title": one_line(page.title)[:MAX_TITLE_CHARACTERS],
        "url": page.final_url,
        "fetched_at": page.fetched_at,
    }
    unsealed = Claim.model_construct(claim_id="", **body)
    return Claim(claim_id=_claim_id(unsealed.model_dump(mode="json")), **body)


def verify_claim(claim: Claim, page: Page) -> None:
    """Check that a stored claim still stands in the stored page.

    Raises:
        MMMError: The page is another one, or the quote does not stand at its span.
    """
    start, end = claim.span
    is_page = claim.page_sha256 == page.sha256 == text_sha256(page.text)
    if not is_page or one_line(page.text[start:end]) != claim.quote:
        raise _refused(f"The claim {claim.claim_id} does not stand in the page {page.final_url!r}.")


def _check_quote(checked: CheckedPage, quote: str) -> tuple[int, int]:
    if not quote or len(quote) > MAX_QUOTE_CHARACTERS:
        raise _refused(f"A quote has 1 to {MAX_QUOTE_CHARACTERS} characters, not {len(quote)}.")
    if has_hidden_characters(quote) or has_link(quote):
        raise _refused("The quote holds an address or characters that do not show.")
    text = checked.page.text
    span = find_quote(quote, text)
    if span is None:
        raise _refused(
            f"The quote {quote[:80]!r} does not stand in the page. Copy it word by word."
        )
    around = sentences_around(checked.sentences, span)
    if turns_around(one_line(text[slice(*around)])):
        raise _refused(
            f"The sentence around {quote[:80]!r} denies it or puts it under a condition."
        )
    if not is_clause(text, around, span):
        raise _refused(
            f"{quote[:80]!r} is cut out of its sentence. Quote the sentence or a clause."
        )
    return span


def _check_reading(checked: CheckedPage, quote: str, proposed: ProposedClaim) -> Reading:
    readings = readings_of(quote, checked.decimals)
    wanted = (proposed.kpi, proposed.channel, proposed.value, proposed.value_to, proposed.unit)
    for reading in readings:
        if (reading.kpi, reading.channel, reading.value, reading.value_to, reading.unit) == wanted:
            return reading
    found = "; ".join(state(r) for r in readings) or "nothing that can be read in one way only"
    raise _refused(
        f"The quote {quote[:80]!r} does not say that {proposed.kpi} of {proposed.channel!r} is "
        f"{proposed.value} {proposed.unit}; it says: {found}."
    )


def _checked[T](found: T | None, wanted: T | None) -> T | None:
    if wanted is not None and found != wanted:
        raise _refused(f"The page does not say {str(wanted)[:80]!r} of this.")
    return found


def _claim_id(body: Mapping[str, object]) -> str:
    # Reading the same page again makes the same claim.
    content = {k: v for k, v in body.items() if k not in ("claim_id", "fetched_at")}
    text = json.dumps(content, sort_keys=True, ensure_ascii=True)
    return f"C-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _refused(message: str) -> MMMError:
    return MMMError(message, code="claim_invalid")
