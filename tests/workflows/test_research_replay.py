"""Research on recorded pages: cited, byte-equal, deaf to what pages command."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from mmm_workflows.config import Settings
from mmm_workflows.errors import MMMError
from mmm_workflows.workflows.front import read_request
from mmm_workflows.workflows.runner import Runner, open_runner

REPLAY = Path(__file__).parents[2] / "examples" / "replay"
QUERY = "Build MMM for beverage brand"


async def research(settings: Settings, **more: Any) -> dict[str, Any]:
    async with open_runner(settings) as runner:
        return await start(runner, **more)


async def start(runner: Runner, workflow_id: str | None = None, **more: Any) -> dict[str, Any]:
    request = read_request("research", {"query": QUERY, "replay": str(REPLAY), **more})
    return await runner.start("research", request, workflow_id=workflow_id)


async def test_a_replay_gives_a_plan_whose_every_sentence_of_evidence_is_cited(
    settings: Settings,
) -> None:
    result = await research(settings)
    assert result["web_search"] == "replay"
    assert result["claims"] and result["sources"]
    known = {claim["claim_id"] for claim in result["claims"]}
    assert set(result["research_plan"]["evidence"]) == known
    lines = [line for line in result["evidence_report"].splitlines() if line.startswith("- ")]
    assert len(lines) == len(known)
    for line in lines:
        found = re.search(r"\(claim (C-[0-9a-f]{8})\).*\[\d+\]$", line)
        assert found and found.group(1) in known, line
    for prior in result["research_plan"]["priors"]:
        assert set(prior["claims"]) <= known
        assert prior["accepted"] is False, "a page set a prior by itself"


async def test_a_replay_is_byte_equal(settings: Settings) -> None:
    first, second = await research(settings), await research(settings)
    assert first["evidence_report"].encode() == second["evidence_report"].encode()
    assert first["research_plan"] == second["research_plan"]


async def test_pages_that_command_give_no_claim_and_no_address(settings: Settings) -> None:
    result = await research(settings)
    text = str(result)
    assert not any("hostile" in source["url"] for source in result["sources"])
    for name in ("hostile_visible", "hostile_hidden", "hostile_zero_width"):
        page = (Path(__file__).parents[1] / "unit" / "mmm" / "pages" / f"{name}.txt").read_text()
        url = re.search(r"^url: (.*)$", page, re.MULTILINE)
        assert url is not None and url.group(1) not in text
    listed = {source["url"] for source in result["sources"]}
    assert set(re.findall(r"https?://[^\s)>\]\"']+", result["evidence_report"])) <= listed


async def test_what_was_never_recorded_is_named_and_the_plan_says_it_rests_on_defaults(
    settings: Settings, tmp_path: Path
) -> None:
    result = await research(settings, replay=str(tmp_path))
    assert {o["code"] for o in result["web_outcomes"]} == {"page_not_recorded"}
    assert result["claims"] == []
    assert "No evidence found" in result["synthesis"] + result["evidence_report"]


async def test_a_changed_page_of_a_record_is_refused(settings: Settings, tmp_path: Path) -> None:
    copy = tmp_path / "replay"
    shutil.copytree(REPLAY, copy)
    for page in (copy / "pages").iterdir():
        page.write_text("TV has a ROAS of 99.", encoding="utf-8")
    with pytest.raises(MMMError) as caught:
        await research(settings, replay=str(copy))
    assert caught.value.code == "artifact_damaged"


async def test_a_person_accepts_a_prior_by_its_claim_and_that_is_a_decision(
    settings: Settings,
) -> None:
    async with open_runner(settings) as runner:
        waiting = await start(runner, "r", review=True)
        assert waiting["status"] == "waiting"
        assert "accept C-" in waiting["questions"][0]
        prior = waiting["research_plan"]["priors"][0]
        again = await runner.decide("r", "accept C-00000000")
        assert again["status"] == "waiting", "a claim that is not there was accepted"
        result = await runner.decide("r", f"accept {prior['claims'][0]}")
    assert result["status"] == "succeeded"
    taken = [p for p in result["research_plan"]["priors"] if p["accepted"]]
    assert {p["channel"] for p in taken} >= {prior["channel"]}
    assert all(set(p["claims"]) & {prior["claims"][0]} for p in taken)
    (decision,) = [
        d for d in result["decisions"]
        if d["who"] == "person" and d["question"].startswith("Is the prior")
        and prior["channel"] in d["question"] and prior["quantity"] in d["question"]
    ]  # fmt: skip
    assert prior["claims"][0] in decision["reason"]


async def test_an_acceptance_and_a_revision_in_one_answer_are_both_done(settings: Settings) -> None:
    async with open_runner(settings) as runner:
        waiting = await start(runner, "r", review=True)
        claim = next(
            p["claims"][0] for p in waiting["research_plan"]["priors"] if p["channel"] == "TV"
        )
        result = await runner.decide("r", f"Accept {claim} and make it revenue by TV.")
    plan = result["research_plan"]
    assert result["status"] == "succeeded"
    assert plan["target_variable"] == "Revenue"
    assert [c["name"] for c in plan["channels"]] == ["TV"]
    assert [p["claims"] for p in plan["priors"] if p["accepted"]]


UNCLEAR = (
    "accept {claim}, but not the others",
    "accept {claim} and C-00000000",
    "accept all but {claim}",
    "I cannot accept {claim}",
    "don\u2019t accept all",
    "revenue by TV with {claim}",
    "accept {claim} only for TV",
)


@pytest.mark.parametrize("answer", UNCLEAR)
async def test_an_answer_that_is_no_plain_acceptance_takes_no_prior(
    settings: Settings, answer: str
) -> None:
    async with open_runner(settings) as runner:
        waiting = await start(runner, "r", review=True)
        claim = waiting["research_plan"]["priors"][0]["claims"][0]
        again = await runner.decide("r", answer.format(claim=claim))
    assert again["status"] == "waiting"
    assert not any(p["accepted"] for p in again["research_plan"]["priors"])


async def test_off_is_the_default_and_says_so(settings: Settings) -> None:
    result = await research(settings, replay=None)
    assert result["web_search"] == "off"
    assert result["synthesis"].startswith("No web search was made")
    assert result["claims"] == [] and result["sources"] == []


async def test_a_second_run_of_the_category_proposes_from_the_first_and_says_so(
    settings: Settings,
) -> None:
    async with open_runner(settings) as runner:
        first = read_request("research", {"query": "MMM for a beverage brand on Radio and Print"})
        await runner.start("research", first)
        second = await start(runner, replay=None)
        elsewhere = read_request("research", {"query": "MMM for a travel company"})
        other = await runner.start("research", elsewhere)
    assert [c["name"] for c in second["research_plan"]["channels"]] == ["Radio", "Print"]
    reasons = [d["reason"] for d in second["decisions"]]
    assert "an earlier run of this project planned it" in reasons
    assert [c["name"] for c in other["research_plan"]["channels"]] != ["Radio", "Print"]


async def test_a_plan_that_another_version_stored_is_left_out_by_name(settings: Settings) -> None:
    async with open_runner(settings) as runner:
        await start(runner, "good", replay=None)
        old = await start(runner, "old", replay=None)
        await runner.services.runs.update("old", result={**old, "research_plan": {"unknown": 1}})
        result = await start(runner, "new", replay=None)
    assert result["earlier_runs"] == ["good"]
    [told] = [d for d in result["decisions"] if "another version" in d["reason"]]
    assert "nothing is taken from old" in told["reason"]


@pytest.mark.slow
async def test_a_prior_that_was_accepted_is_taken_by_the_model_under_its_claims(
    settings: Settings,
) -> None:
    async with open_runner(settings) as runner:
        waiting = await start(runner, "r", review=True)
        tv = next(
            p for p in waiting["research_plan"]["priors"]
            if p["channel"] == "TV" and p["quantity"] == "roas"
        )  # fmt: skip
        planned = await runner.decide("r", f"accept {tv['claims'][0]}")
        data = {
            "data_sources": [str(REPLAY.parents[1] / "data" / "sales.csv")],
            "target_variable": "Sales", "media_channels": ["TV_Spend", "Digital_Spend"],
            "research_plan": planned["research_plan"],
        }  # fmt: skip
        eda = await runner.start("eda", read_request("eda", data))
        fit = {"mff_data_path": eda["mff_data_path"], "research_plan": planned["research_plan"]}
        model = await runner.start("modeling", read_request("modeling", fit))
    ticked = {t["requirement"]["variable"]: t["status"] for t in eda["checklist"]}
    assert ticked["Sales"] == "met" and ticked["Radio spend"] == "not_met"
    decisions = [d for d in model["decisions"] if tv["claims"][0] in d["evidence"]]
    assert decisions and decisions[0]["who"] == "person"
    by_name = {c["channel"]: c["information"] for c in model["channels"]}
    assert set(tv["claims"]) <= set(by_name["TV_Spend"]["sources"])
    assert by_name["Digital_Spend"]["sources"] == []
    for told in by_name.values():
        assert told["data_share"] + told["prior_share"] == pytest.approx(1.0)
