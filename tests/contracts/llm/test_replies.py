"""Laws of reading a reply: nothing is fished for, nothing but the shape comes out."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from mmm_workflows.llm.budget import Budget, Usage
from mmm_workflows.llm.replies import BadReply, bounded, read_reply, without_thinking
from mmm_workflows.llm.speech import Spoken, Stop, tokens_of


class Note(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str
    count: int = 0


def read(text: str, stop: Stop = Stop.DONE) -> Note:
    return read_reply(Note, Spoken(text, stop, Usage()))


prose = st.text(alphabet=st.characters(exclude_characters="{}[]<`", exclude_categories=["Cs"]))


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.integers())
def test_whatever_a_value_says_comes_out_as_it_was_said(text: str, count: int) -> None:
    note = Note(text=text, count=count)
    assert read(note.model_dump_json()) == note
    assert read(f"\n```json\n{note.model_dump_json()}\n```\n") == note


@pytest.mark.parametrize(
    "text", ["</think>", "<think>a</think>b", "```json\n{}\n```", "a <think> b", '{"text": "x"}']
)
def test_a_value_may_speak_of_thoughts_and_fences(text: str) -> None:
    assert read(json.dumps({"text": text})).text == text


@given(prose.filter(str.strip))
def test_a_document_in_the_middle_of_prose_is_not_fished_out(words: str) -> None:
    for text in (f'{words} {{"text": "x"}}', f'{{"text": "x"}} {words}'):
        with pytest.raises(BadReply):
            read(text)


@given(prose)
def test_thinking_before_a_document_is_taken_off(thought: str) -> None:
    for text in (
        f'<think>{thought}</think>{{"text": "x"}}',
        f'{thought}</think>\n{{"text": "x"}}',
        f'<THINKING>{thought}</THINKING>```\n{{"text": "x"}}\n```',
    ):
        assert read(text) == Note(text="x")


@given(st.text())
def test_any_text_is_a_note_or_has_faults_that_can_be_said(text: str) -> None:
    try:
        read(text)
    except BadReply as bad:
        assert bad.faults
        assert all(0 < len(fault) <= 240 for fault in bad.faults)


@pytest.mark.parametrize("stop", [stop for stop in Stop if stop is not Stop.DONE])
def test_a_reply_that_did_not_end_by_itself_is_refused_even_when_it_fits(stop: Stop) -> None:
    with pytest.raises(BadReply):
        read('{"text": "x"}', stop)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"text": "x", "count": Infinity}', "Infinity is not a number"),
        ('{"text": "x", "count": -Infinity}', "-Infinity is not a number"),
        ('{"text": "x", "count": ' + "9" * 5000 + "}", "cannot be read"),
        ('{"text": "x", "a": {"b": 1, "b": 2}}', "'b' is given twice"),
        ('{"text": "\\ud800"}', "the document"),
        ("null", "the document"),
        ("[]", "the document"),
        ('"text"', "the document"),
        ("```json\n```json\n{}\n```\n```", "not one JSON document"),
        ('{"text": "x"}\n{"text": "y"}', "not one JSON document"),
        ('\ufeff{"text": "x"}', "not one JSON document"),
    ],
)
def test_what_is_no_json_or_no_note_is_named(text: str, fault: str) -> None:
    with pytest.raises(BadReply) as caught:
        read(text)
    assert fault in " ".join(caught.value.faults)


def test_a_thought_without_end_leaves_nothing() -> None:
    assert without_thinking('<think>perhaps {"text": "x"}') == ""


def test_many_faults_are_counted_and_long_ones_cut() -> None:
    shown = bounded(tuple(f"{i}" * 300 for i in range(20)))
    assert len(shown) == 9
    assert shown[-1] == "There are 12 more faults."


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=9))
def test_usage_adds_up(parts: list[tuple[int, int]]) -> None:
    budget = Budget(max_calls=10**6, max_tokens=10**6)
    for prompt, reply in parts:
        budget.charge(Usage(calls=1, prompt_tokens=prompt, reply_tokens=reply, seconds=0.5))
    assert budget.spent.calls == len(parts)
    assert budget.spent.tokens == sum(prompt + reply for prompt, reply in parts)
    assert budget.spent.seconds == pytest.approx(len(parts) / 2)


def test_a_resumed_run_goes_on_from_what_it_had_spent() -> None:
    budget = Budget(max_calls=3, max_tokens=100, spent=Usage(calls=3))
    with pytest.raises(Exception, match="used 3 calls"), budget.reserve(1):
        pass


@given(st.text())
def test_tokens_are_never_estimated_as_none(text: str) -> None:
    assert tokens_of(text) >= max(1, len(text) // 3)
