"""A model's text: no figure but by reference, no figure under another's name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_workflows.mmm.narrative import Fact, Facts, cited, faults, resolve, slugs

NAMES = ("TV", "TV Spend", "Channel 4", "Search", "Return path", "C++ (paid)", "Ten", "one")
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
        Fact(
            reference="cost.TV", field="/channels/0/cost", shown="0.8 [0.6, 1.1] EUR per unit",
            means="cost per contribution of TV", subject="TV", words=("cost",),
        ),
        Fact(
            reference="roas.path", field="/channels/2/roas", shown="0.1 [0, 0.2] EUR per EUR",
            means="ROAS of Return path", subject="Return path", words=("roas", "return"),
        ),
        Fact(
            reference="roas.C_paid", field="/channels/3/roas", shown="0.3 [0, 0.9] EUR per EUR",
            means="ROAS of C++ (paid)", subject="C++ (paid)", words=("roas", "return"),
        ),
        Fact(
            reference="plan", field="/plan", shown="1k EUR", means="what the plan brings",
            words=("plan",),
        ),
        Fact(reference="total", field="/total", shown="2m EUR", means="the total"),
    ),
    NAMES,
    ("R2", "\u041f\u0440\u043e\u0434\u0430\u0436\u0438"),
)  # fmt: skip

STANDS = [
    "TV has a ROAS of [[roas.TV]].",
    "The budget is [[total]], and nothing is known beyond it.",
    "TV returned [[roas.TV]], while Search returned [[roas.Search]] per unit.",
    "Channel 4 was not examined; one of the drivers may explain it, and first of all the price.",
    "A third-party measurement would help.",
    "The ROAS of TV is [[roas.TV]] and that of Search [[roas.Search]].",
    "TV's return is [[roas.TV]] at a cost of [[cost.TV]].",
    "Compared with Search, TV returned [[roas.TV]] \u2013 and that is na\u00efve.",
    "C++ (paid) shows a return of [[roas.C_paid]].",
    "Return path shows a ROAS of [[roas.path]].",
    "TV did more than any other channel, and none of them did harm; one cannot tell them apart.",
    "Its half-life is short, and it pays per cost centre.",
    "The R2 of \u041f\u0440\u043e\u0434\u0430\u0436\u0438 is high.",
    "Ads on Meta were seen once.",
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
    "joined names": "Search and TV returned [[roas.TV]].",
    "joined names in possession": "Search's and TV's return is [[roas.TV]].",
    "both names first": "TV and Search returned [[roas.TV]] and [[roas.Search]].",
    "quantities swapped": "TV costs [[roas.TV]] and returns [[cost.TV]].",
    "quantities listed apart": "TV's return and cost are [[cost.TV]] and [[roas.TV]].",
    "quantity in a name": "Return path cost [[roas.path]].",
    "quantity in another word": "It explains [[plan]].",
    "zero-width space": "TV returned t\u200bwo per unit.",
    "soft hyphen": "TV returned t\u00adwo per unit.",
    "struck through": "TV returned t\u0336w\u0336o\u0336 per unit.",
    "homoglyph in a word": "TV returned tw\u043e per unit.",
    "homoglyph of a digit": "TV returned \u0417 per unit.",
    "another alphabet": "TV returned \u0434\u0432\u0430 per unit.",
    "Chinese": "TV returned \u4e09 per unit.",
    "German": "TV brachte zweiundzwanzig Euro.",
    "German with sz": "TV brachte drei\u00dfig Euro.",
    "German with umlaut": "TV brachte f\u00fcnf Euro.",
    "French": "TV a rapport\u00e9 vingt euros.",
    "Spanish": "TV trajo veinte euros.",
    "Italian": "TV ha portato venti euro.",
    "Dutch": "TV bracht twintig euro.",
    "Portuguese": "TV trouxe dez euros.",
    "words written together": "TV returned onehundred.",
    "fold": "TV grew a hundredfold.",
    "halve": "We should halve TV.",
    "treble": "TV trebled.",
    "decade": "It is a brand of the nineties.",
    "per cent": "TV did many per cent better.",
    "one as a figure": "TV has a ROAS of one.",
    "one of a unit": "TV returned one euro per euro.",
    "one at break-even": "The interval lies above one.",
    "name that is a number word": "TV returned ten per unit.",
    "name that is a number word, as written": "TV returned Ten per unit.",
    "Roman numeral in letters": "TV returned XIV per unit.",
    "keycap": "TV returned \U0001f51f per unit.",
    "hundred points": "TV: \U0001f4af.",
    "die": "TV returned \u2682 per unit.",
    "braille": "TV returned \u283c\u2809 per unit.",
    "mathematical digit": "TV returned \U0001d7db per unit.",
    "per mille": "TV did many \u2030 better.",
    "minus sign": "TV has a return of -[[roas.TV]].",
    "minus in words": "TV has a return of minus [[roas.TV]].",
    "magnitude": "TV has a return of [[roas.TV]]k.",
    "product": "TV has a return of [[roas.TV]] * [[total]].",
    "other currency": "The budget is $[[total]].",
    "bare host": "See evil.example/x for more.",
    "other scheme": "See javascript:alert for more.",
    "mail": "Write to me@evil.example.",
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
    for known in (*(f.shown for f in FACTS.facts), *NAMES, "R2"):
        shown = shown.replace(known, "")
    assert not any(c.isnumeric() for c in shown)


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=6, unique=True))
def test_every_name_has_a_reference_of_its_own(names: list[str]) -> None:
    made = slugs(names)
    assert len(set(made)) == len(names)
    assert all(part.replace("_", "a").isalnum() and part.isascii() for part in made)
