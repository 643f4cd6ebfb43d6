"""The evidence report: sentences from claims, and nothing else."""

from __future__ import annotations

import re
from itertools import pairwise
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from sample_pages import HOSTS, NAMES, make_page, sample_page

from mmm_workflows.mmm.claim_rules import read_claims
from mmm_workflows.mmm.claims import Claim
from mmm_workflows.mmm.evidence import NOTHING, find_conflicts, write_evidence
from mmm_workflows.mmm.markdown import escaped, link, title_of

CLAIMS = tuple(c for name in NAMES for c in read_claims(sample_page(name), hosts=HOSTS).claims)
CITED = re.compile(r"\[(\d+)\]$")
LINK = re.compile(r"\(<([^>]*)>\)")


def body_and_sources(report: str) -> tuple[list[str], list[str]]:
    body, _, sources = report.partition("## Sources\n")
    return body.splitlines(), [line for line in sources.splitlines() if line]


def check_report(report: str, claims: list[Claim]) -> None:
    """Every sentence cites a source that is listed, and no figure or address is anybody else's."""
    body, sources = body_and_sources(report)
    listed = {int(line.split(".")[0]) for line in sources}
    said = " ".join(
        f"{c.claim_id} {c.statement} {c.quote} {c.period} {c.geography} {c.written}" for c in claims
    )
    for line in body:
        if line.startswith(("#", "| Claim |", "| --- |")) or line in ("", NOTHING):
            continue
        cited = CITED.search(line.removesuffix(" |"))
        assert cited is not None, line
        assert int(cited.group(1)) in listed
        figures = re.findall(r"\d+", line.removesuffix(" |")[: cited.start()])
        assert all(figure in said for figure in figures), line
    addresses = set(LINK.findall(report))
    assert addresses <= {c.url for c in claims}
    assert not re.search(r"(?<!\\)!\[", report)
    assert "://" not in LINK.sub("", report)


def check_rendered(report: str, claims: list[Claim]) -> None:
    """A Markdown reader finds no HTML, no image, and no link but to the cited pages."""
    tokens = MarkdownIt("commonmark").enable("table").parse(report)
    parts = [t for token in tokens for t in (token, *(token.children or ()))]
    assert not {t.type for t in parts} & {
        "html_inline",
        "html_block",
        "image",
        "code_block",
        "fence",
    }
    links = [str(t.attrs["href"]) for t in parts if t.type == "link_open"]
    assert {unquote(a) for a in links} <= {unquote(c.url) for c in claims}
    assert len(links) == len({(c.url, c.page_sha256) for c in claims})
    ends = [t.children[-1].content for t in tokens if t.children and "in its words" in t.content]
    assert all(CITED.search(end) for end in ends)
    assert len(ends) == len({c.claim_id for c in claims})


def test_the_report_of_the_sample_pages_cites_every_sentence() -> None:
    report = write_evidence(CLAIMS, ("TV", "OOH"))
    check_report(report, list(CLAIMS))
    check_rendered(report, list(CLAIMS))
    for claim in CLAIMS:
        assert claim.claim_id in report
        assert escaped(claim.quote) in report
        assert claim.page_sha256 in report


@settings(max_examples=60, deadline=None)
@given(st.permutations(CLAIMS), st.integers(0, len(CLAIMS)))
def test_the_report_is_byte_equal_for_claims_in_any_order(order: list[Claim], extra: int) -> None:
    assert write_evidence([*order, *order[:extra]], ("TV",)) == write_evidence(CLAIMS, ("TV",))


@settings(max_examples=60, deadline=None)
@given(st.sets(st.sampled_from(CLAIMS)))
def test_a_report_of_any_claims_keeps_the_rules(some: set[Claim]) -> None:
    check_report(write_evidence(list(some)), list(some))


def test_nothing_found_is_said_and_not_filled() -> None:
    assert write_evidence(()) == f"# Evidence\n\n{NOTHING}\n"
    report = write_evidence([c for c in CLAIMS if c.channel == "TV"], ("OOH", "TV"))
    assert f"## OOH\n\n{NOTHING}\n" in report
    assert report.count(NOTHING) == 1


def test_claims_that_disagree_stand_side_by_side() -> None:
    report = write_evidence(CLAIMS)
    table = report.split("### Radio: ROAS\n")[1].split("###")[0]
    assert "€1.20" in table and "€7.50" in table and "240 %" in table
    groups = [{c.channel for c in group} for group in find_conflicts(CLAIMS)]
    assert all(len(g) == 1 for g in groups)
    assert {"TV"} in groups and {"Radio"} in groups and {"Print"} not in groups


@pytest.mark.parametrize(
    ("one", "other", "is_conflict"),
    [
        ("TV had a ROAS of 2.0.", "TV had a ROAS of 3.1.", True),
        ("TV had a ROAS of 2.0.", "TV had a ROAS of 3.0.", False),
        ("TV had a ROAS of 2.0.", "TV had a ROAS of 200 %.", False),
        ("TV had a ROAS of 2.0.", "Radio had a ROAS of 9.0.", False),
        ("TV had a ROAS between 1 and 2.", "TV had a ROAS between 1.5 and 9.", False),
        ("TV had a half-life of 2 weeks.", "TV had a half-life of 14 days.", False),
        ("TV had an elasticity of 0.1.", "TV had an elasticity of -0.1.", True),
        ("TV had a ROAS of 2.0.", "TV had a net ROI of 100%.", False),
    ],
)
def test_what_counts_as_a_disagreement(one: str, other: str, is_conflict: bool) -> None:
    claims = read_claims(make_page(f"{one}\n\n{other}")).claims
    assert len(claims) == 2
    assert bool(find_conflicts(claims)) is is_conflict


HOSTILE = st.text(
    alphabet=st.sampled_from("![]()<>`*_#|\\&~$\n\r\t\u202e\u200b\"'=:/.@aT1 "), max_size=60
)


@settings(max_examples=60, deadline=None)
@given(HOSTILE, HOSTILE)
def test_a_hostile_title_or_address_adds_no_link_no_line_and_no_markup(
    title: str, path: str
) -> None:
    url = f"https://www.page.example.org/{path}"
    page = make_page("TV had a ROAS of 2.0.", title=title, url=url)
    [claim] = read_claims(page).claims
    report = write_evidence([claim])
    assert len(body_and_sources(report)[1]) == 1
    check_rendered(report, [claim])


@pytest.mark.parametrize(
    "text",
    ["<img src=x onerror=alert(1)>", "[a](javascript:alert(1))", "![x](y)", "a | b", "**b** `c`",
     "# head", "&lt;script&gt;", "$x$", "line\nbreak"],
)  # fmt: skip
def test_markup_is_shown_and_not_acted_on(text: str) -> None:
    shown = escaped(text)
    assert "\n" not in shown and "<" not in shown
    assert not re.search(r"(?<!\\)[\[\]()*`#|$!]", shown)


def test_a_title_loses_its_addresses_and_length() -> None:
    assert title_of("See www.evil.example.com and a@b.example now") == "See and now"
    assert title_of("https://evil.example.com") == "untitled"
    assert len(title_of("x" * 10_000)) < 200


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "file:///x", "x"])
def test_only_web_addresses_are_linked(url: str) -> None:
    with pytest.raises(ValueError, match="only http"):
        link("a", url)


def test_headings_stand_in_one_order() -> None:
    channels = re.findall(r"^## (.*)$", write_evidence(CLAIMS, ("OOH",)), flags=re.MULTILINE)
    named = [c for c in channels if c not in ("All media", "Claims that disagree", "Sources")]
    assert all(a < b for a, b in pairwise(named))
    assert channels[-3:] == ["All media", "Claims that disagree", "Sources"]
