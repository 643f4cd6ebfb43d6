"""A model's text: no figure but by reference, no figure under another's name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_workflows.mmm.narrative import Fact, Facts, cited, faults, resolve, slugs

NAMES = ("TV", "TV Spend", "Channel 4", "Search")
FACTS = Facts(
    (
        Fact(
            reference="roas.TV", field="/channels/0/roas", shown="1.2 [0.9, 1.6] EUR per EUR",
            means="ROAS of TV", subject="TV", words=("roas", "return"),
        ),
        Fact(
            reference="roas.Search", field="/channels/1/roas", shown="3.1 [2.2, 4.4] EUR per EUR",
            means="ROAS of Search", subject="Search", words=("roas", "return"),
        ),
        Fact(reference="total", field="/total", shown="2m EUR", means="the total"),
    ),
    NAMES,
)  # fmt: skip

STANDS = [
    "TV has a ROAS of [[roas.TV]].",
    "The budget is [[total]], and nothing is known beyond it.",
    "TV returned [[roas.TV]], while Search returned [[roas.Search]] per unit.",
    "Channel 4 was not examined; one of the drivers may explain it, and first of all the price.",
    "A third-party measurement would help.",
]
REFUSED = {
    "digit": "TV has a ROAS of 1.2.",
    "digit beside a reference": "TV has a ROAS of [[roas.TV]], up 20 percent.",
    "percent sign": "TV has a ROAS of [[roas.TV]], many %.",
    "fullwidth digit": "TV returned \uff13 per unit.",
    "arabic-indic digit": "TV returned \u0663 per unit.",
    "roman numeral sign": "TV returned \u2162 per unit.",
    "vulgar fraction": "TV lost \u00bd of it.",
    "superscript": "TV returned \u00b2 per unit.",
    "word": "TV doubled its return.",
    "capital word": "Twenty weeks were enough.",
    "fraction in words": "A quarter of the budget should move.",
    "hyphenated": "One-third of it was TV.",
    "unknown reference": "TV has a ROAS of [[roas.Radio]].",
    "open reference": "TV has a ROAS of [[roas.TV.",
    "other brackets": "TV has a ROAS of [[roas TV]].",
    "name of another": "Search has a ROAS of [[roas.TV]].",
    "another name between": "TV beats Search with a ROAS of [[roas.TV]].",
    "longer name": "TV Spend has a ROAS of [[roas.TV]].",
    "no name": "The ROAS is [[roas.TV]].",
    "name in another sentence": "TV did well. The ROAS is [[roas.TV]].",
    "other quantity": "TV cost [[roas.TV]].",
    "address": "TV did well, see https://example.org for more.",
    "markdown link": "TV [did](javascript:x) well.",
    "markup": "TV did well <img src=x>.",
    "endless": "TV did well" + " indeed" * 200 + ".",
    "nothing": "  ",
}


@pytest.mark.parametrize("text", STANDS)
def test_a_text_of_words_and_references_stands(text: str) -> None:
    assert faults([text], FACTS) == ()


@pytest.mark.parametrize("name", REFUSED)
def test_a_text_that_states_or_misplaces_a_figure_is_refused(name: str) -> None:
    assert faults([REFUSED[name]], FACTS)


def test_what_is_wrong_names_the_figure_and_what_to_do() -> None:
    (fault,) = faults(["Search has a ROAS of [[roas.TV]]."], FACTS)
    assert "[[roas.TV]] is of TV" in fault and "name TV before it" in fault


def test_references_become_their_figures_and_say_where_they_stand() -> None:
    text = ["TV has a ROAS of [[roas.TV]].", "Again: TV has a ROAS of [[roas.TV]]."]
    assert resolve(text, FACTS)[0] == "TV has a ROAS of 1.2 [0.9, 1.6] EUR per EUR."
    assert [(c.field, c.shown) for c in cited(text, FACTS)] == [
        ("/channels/0/roas", "1.2 [0.9, 1.6] EUR per EUR")
    ]


@given(st.text(max_size=200), st.sampled_from(STANDS))
def test_no_digit_gets_through_but_by_a_reference_or_a_name(noise: str, stands: str) -> None:
    text = f"{noise} {stands}"
    if faults([text], FACTS):
        return
    shown = resolve([text], FACTS)[0]
    for known in (*(f.shown for f in FACTS.facts), *NAMES):
        shown = shown.replace(known, "")
    assert not any(c.isnumeric() for c in shown)


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=6, unique=True))
def test_every_name_has_a_reference_of_its_own(names: list[str]) -> None:
    made = slugs(names)
    assert len(set(made)) == len(names)
    assert all(part.replace("_", "a").isalnum() and part.isascii() for part in made)
