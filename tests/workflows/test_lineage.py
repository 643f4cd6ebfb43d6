"""From a number down to cells, draws, claims and files; no fit: the model folder is made by hand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_folders import make_model_folder

from mmm_workflows.config import Settings
from mmm_workflows.errors import UserError
from mmm_workflows.mmm.chain import FileState, Link, LinkKind, lines
from mmm_workflows.mmm.dataset import read_mff
from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.history import ChannelHistory, PastEstimate
from mmm_workflows.mmm.model_files import (
    DRAWS,
    MANIFEST,
    open_model,
    write_manifest,
)
from mmm_workflows.mmm.refresh_values import Cause, ChannelRefresh, Move, Refresh, Rung
from mmm_workflows.mmm.results import (
    Amount,
    ChannelResult,
    Diagnostics,
    FitVerdict,
    GoodnessOfFit,
    ModelResults,
    Window,
    summarise,
)
from mmm_workflows.mmm.spec import (
    Adstock,
    ChannelSpec,
    Frequency,
    ModelSpec,
    ReturnPrior,
    Saturation,
)
from mmm_workflows.records import MODEL, Artifact, Decision, Depth, Run, RunStatus, Who
from mmm_workflows.workflows.contracts import ModelingBody, Result
from mmm_workflows.workflows.front import read_request
from mmm_workflows.workflows.runner import Runner, open_runner

ROOT = Path(__file__).parents[2]
CHANNELS = ("TV_Spend", "Digital_Spend")
WEEKS = 120
DATES = np.datetime64("2024-01-01") + 7 * np.arange(WEEKS)
RANDOM = np.random.default_rng(5)
ROAS = summarise(RANDOM.normal(1.8, 0.2, 400), "EUR per EUR")
NUMBER = "/channels/0/roas/mean"


def write_sales(path: Path) -> Path:
    spend = RANDOM.gamma(4.0, [5e3, 3e3], (WEEKS, 2)).round(2)
    rows = ["Date,Sales_EUR,TV_Spend,Digital_Spend"]
    for week, (tv, digital) in enumerate(spend):
        shown = "" if week in (3, 7) else f"{tv}"
        rows.append(f"{DATES[week]},{1e6 + 10 * week + tv},{shown},{digital}")
    path.write_text("\n".join(rows) + "\n")
    return path


def write_model(folder: Path, mff: Path, claim: str) -> ModelResults:
    """The files that a fit leaves; TV's return rests on a claim."""
    spend = read_mff(mff).national()[list(CHANNELS)].to_numpy()
    spec = ModelSpec(
        target="Sales_EUR", target_unit="EUR", target_is_money=True, spend_unit="EUR",
        frequency=Frequency.WEEKLY, start=date(2024, 1, 1), end=date(2026, 4, 13),
        channels=(
            ChannelSpec(
                name="TV_Spend", effect_scale=0.3,
                return_prior=ReturnPrior(
                    quantity="roas", median=1.8, spread=0.5, claims=(claim,)
                ),
            ),
            ChannelSpec(name="Digital_Spend", effect_scale=0.3),
        ),
    )  # fmt: skip
    share = summarise(np.full(100, 0.1), "share")
    results = ModelResults(
        target="Sales_EUR", unit="EUR", spend_unit="EUR", depth=Depth.QUICK, seed=42,
        window=Window(start=spec.start, end=spec.end),
        diagnostics=Diagnostics(
            rhat_max=1.0, ess_bulk_min=900, ess_tail_min=900, divergences=0, draws=400, chains=4,
            checks=(), not_run=(),
        ),
        fit_verdict=FitVerdict.PASS,
        channels=tuple(
            ChannelResult(
                channel=name, spend=Amount(value=5.0, unit="EUR"), contribution=share,
                share=share, roas=ROAS, roi=None, cost_per_contribution=None, mroas=None,
                verdict=None, reasons={"roi": "no margin was given"},
            )
            for name in CHANNELS
        ),
        drivers=(), baseline=share,
        fit=GoodnessOfFit(r2=share, mape=0.1, coverage=0.9, holdout=None, reasons={}),
    )  # fmt: skip
    draws = Draws(
        channels=CHANNELS, dates=DATES.astype("datetime64[D]"), spend=spend,
        channel_scale=spend.max(axis=0), target_scale=1e6, alpha=RANDOM.beta(4, 6, (100, 2)),
        theta=None, lam=RANDOM.gamma(8, 0.25, (100, 2)), beta=RANDOM.gamma(8, 0.01, (100, 2)),
        adstock=Adstock.GEOMETRIC, saturation=Saturation.LOGISTIC, l_max=8,
        frequency=Frequency.WEEKLY, target="Sales_EUR", target_unit="EUR", target_is_money=True,
        spend_unit="EUR",
    )  # fmt: skip
    make_model_folder(
        folder, spec, results, draws, key="k", depth=Depth.QUICK,
        mff_sha256=read_mff(mff).sidecar.mff_sha256,
    )  # fmt: skip
    return results


class World:
    """Four runs of one project: r (Research), e (EDA), m (Modeling) and w (What-If)."""

    def __init__(self, runner: Runner, folder: Path) -> None:
        self.runner = runner
        self.sales = write_sales(folder / "sales.csv")
        self.model = runner.services.models.root / "default" / "k"
        self.mff = Path()
        self.claim: dict[str, Any] = {}

    async def fill(self) -> None:
        asked = {"query": "Build MMM for beverage brand", "replay": str(ROOT / "examples/replay")}
        plan = await self.run("research", asked, "r")
        self.claim = next(c for c in plan["claims"] if c["value"] is not None)
        data = {
            "data_sources": [str(self.sales)], "target_variable": "Sales_EUR",
            "media_channels": list(CHANNELS),
        }  # fmt: skip
        self.mff = Path((await self.run("eda", data, "e"))["mff_data_path"])
        await self.put_fit()
        asked = {
            "model_artifact_path": str(self.model), "mff_data_path": str(self.mff),
            "user_query": "What if we spend 20% more on TV over the next 13 weeks?",
        }  # fmt: skip
        await self.run("whatif", asked, "w")

    async def run(self, workflow: str, asked: dict[str, Any], name: str) -> dict[str, Any]:
        return await self.runner.start(workflow, read_request(workflow, asked), workflow_id=name)

    async def put_fit(self, name: str = "m", key: str = "k", **compared: Any) -> None:
        """What a run of Modeling leaves behind."""
        model = self.model.with_name(key)
        results = write_model(model, self.mff, self.claim["claim_id"])
        folder, runs = open_model(model), self.runner.services.runs
        request = read_request("modeling", {"mff_data_path": str(self.mff)})
        run = Run(
            workflow_id=name, workflow="modeling", seed=42, depth=Depth.QUICK, graph_version="x",
            request=request.model_dump(mode="json"),
        )  # fmt: skip
        await runs.create(run)
        decision = Decision(
            question="May this fit be used?", options=("pass", "fail"), choice="pass",
            reason="it mixed", who=Who.PERSON, at=datetime(2026, 5, 1, tzinfo=UTC),
        )  # fmt: skip
        await runs.add_decisions(name, [decision])
        shared = results.model_dump(include=set(ModelingBody.model_fields))
        body = ModelingBody(
            model_artifact_path=str(model), reused=False, model_spec=folder.spec(),
            findings=(), summary="done", **{"history": (), "refresh": None, **compared}, **shared,
        )  # fmt: skip
        head = Result(
            workflow_id=name, status=RunStatus.SUCCEEDED, depth=Depth.QUICK, seed=42,
            decisions=(decision,),
        )  # fmt: skip
        await self.keep_model(model, name)
        result = {**head.model_dump(mode="json"), **body.model_dump(mode="json")}
        await runs.update(name, status=RunStatus.SUCCEEDED, result=result)

    async def keep_model(self, model: Path, name: str) -> None:
        sha256 = open_model(model).sha256
        kept = {
            "artifact_id": sha256, "kind": MODEL, "path": str(model), "sha256": sha256,
            "size_bytes": 1, "workflow_id": name,
        }  # fmt: skip
        await self.runner.services.runs.register_artifact(Artifact.model_validate(kept))

    async def put_later_fit(self) -> Path:
        """A second fit, m2, that is held against the first over one refit, whose folder is given."""
        refit = self.model.with_name("refit")
        write_model(refit, self.mff, self.claim["claim_id"])
        span = open_model(self.model).results().window
        past = {"window": span, "fit_verdict": FitVerdict.PASS, "estimate": ROAS}
        fits = tuple(
            PastEstimate(workflow_id=name, ended_at=None, spec_digest="d", **past)
            for name in ("m", "m2")
        )
        move = Move(
            channel="TV_Spend", before=ROAS, after=ROAS, change=0.1, mcse=0.01,
            change_in_mcse=10.0, within_noise=False,
        )  # fmt: skip
        channel = ChannelRefresh(
            channel="TV_Spend", own_before=ROAS, own_after=ROAS, common=move,
            expected_change=0.2, reasons={},
        )  # fmt: skip
        rungs = tuple(
            Rung(cause=cause, model_path=str(path), moves=(move,))
            for cause, path in ((Cause.ADDED, refit), (Cause.SPEC, self.model.with_name("k2")))
        )
        refresh = Refresh(
            earlier_run="m", earlier_ended_at=datetime(2026, 5, 1, tzinfo=UTC),
            earlier_model_path=str(self.model), earlier_fit_verdict=FitVerdict.PASS,
            earlier_window=span, common_window=span, data=None, spec=(), software=(),
            causes=(Cause.ADDED, Cause.SPEC), channels=(channel,), left_out={}, ladder=rungs,
            reasons={"data": "made by hand"},
        )  # fmt: skip
        history = (ChannelHistory(channel="TV_Spend", quantity="roas", fits=fits),)
        await self.put_fit("m2", "k2", history=history, refresh=refresh)
        await self.keep_model(refit, "m2")
        return refit

    async def chain(self, asked: str) -> Link:
        return (await self.runner.memory.lineage(asked, project="default")).chain


@pytest.fixture
async def world(settings: Settings, tmp_path: Path) -> AsyncIterator[World]:
    async with open_runner(settings) as runner:
        made = World(runner, tmp_path)
        await made.fill()
        yield made


def one(chain: Link, kind: LinkKind, name: str | None = None) -> Link:
    found = [x for x in chain.all() if x.kind is kind and name in (None, x.name)]
    assert len(found) == 1, [(x.kind, x.name) for x in chain.all()]
    return found[0]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def test_a_number_leads_to_draws_spec_claims_series_cells_and_file(world: World) -> None:
    chain = await world.chain(f"m#{NUMBER}")
    assert chain.kind is LinkKind.NUMBER
    assert chain.facts["asked"] == ROAS.mean
    assert (chain.facts["hdi_low"], chain.facts["unit"]) == (ROAS.hdi_low, "EUR per EUR")
    assert "roas of TV_Spend" in chain.says
    draws = one(chain, LinkKind.DRAWS)
    assert (draws.facts["draws"], draws.facts["chains"], draws.facts["seed"]) == (400, 4, 42)
    assert (draws.sha256, draws.state) == (sha256(world.model / DRAWS), FileState.SAME)
    spec = one(chain, LinkKind.SPEC)
    assert open_model(world.model).spec().digest() in spec.says
    assert [x.name for x in spec.rests_on] == ["TV_Spend"], "only the channel's own priors"
    claim = one(chain, LinkKind.CLAIM)
    assert (claim.name, claim.facts["quote"]) == (world.claim["claim_id"], world.claim["quote"])
    assert one(chain, LinkKind.PAGE).sha256 == world.claim["page_sha256"]
    table = one(chain, LinkKind.DATASET)
    assert (table.sha256, table.state) == (sha256(world.mff), FileState.SAME)
    assert one(chain, LinkKind.SERIES, "TV_Spend").facts["source"] == "sales.csv#TV_Spend"
    assert one(chain, LinkKind.SERIES, "Sales_EUR").says.startswith("target in EUR")
    assert one(chain, LinkKind.CLEANING).facts["cells"] == [
        {"where": "row 5 of sales.csv", "typed": "", "value": 0.0},
        {"where": "row 9 of sales.csv", "typed": "", "value": 0.0},
    ]
    source = one(chain, LinkKind.SOURCE)
    assert (source.path, source.sha256) == (str(world.sales), sha256(world.sales))
    assert source.state is FileState.SAME
    assert any(x.says.startswith("pass, by person") for x in chain.all()), "who decided"
    assert all(x.missing is None for x in chain.all()), "nothing was deleted"
    text = "\n".join(lines(chain))
    for told in (sha256(world.sales), "row 5 of sales.csv: typed '', read as 0.0", "by person"):
        assert told in text


async def test_the_same_chain_is_found_by_run_path_hash_and_node(world: World) -> None:
    memory = await world.runner.memory.bring_in("default")
    nodes, _ = await memory.everything("default")
    by_kind = {n.kind: n for n in nodes if n.workflow_id in ("m", "e")}
    by_path = await world.chain(str(world.model))
    assert by_path.kind is LinkKind.MODEL
    assert await world.chain(open_model(world.model).sha256) == by_path
    assert await world.chain(by_kind["Model"].node_id) == by_path
    assert one(await world.chain("m"), LinkKind.MODEL).rests_on[:2] == by_path.rests_on[:2]
    table = await world.chain(str(world.mff))
    assert await world.chain(str(world.mff.parent)) == table
    assert await world.chain(by_kind["Dataset"].node_id) == table
    assert {x.name for x in table.rests_on if x.kind is LinkKind.SERIES} == {
        "Sales_EUR", *CHANNELS,
    }  # fmt: skip
    assert (await world.chain(world.claim["claim_id"])).facts["quote"] == world.claim["quote"]


async def test_a_what_if_number_leads_over_its_scenario_and_model_to_the_file(
    world: World,
) -> None:
    chain = await world.chain("w#/scenario_results/0/outcome/delta/hdi_low")
    assert chain.says.startswith("scenario results outcome delta of Your scenario: hdi_low ")
    kinds = [x.kind for x in chain.all()]
    order = [LinkKind.NUMBER, LinkKind.RUN, LinkKind.SCENARIO, LinkKind.MODEL, LinkKind.DRAWS,
             LinkKind.DATASET, LinkKind.SOURCE]  # fmt: skip
    assert [kinds.index(kind) for kind in order] == sorted(kinds.index(kind) for kind in order)
    scenario = one(chain, LinkKind.SCENARIO)
    assert "20%" in scenario.name and "TV_Spend" in scenario.says
    assert all(x.missing is None for x in chain.all())


OF_LATER_FIT = {
    "/channels/0/roas/mean": ["m2"],
    "/history/0/fits/0/estimate/mean": ["m"],
    "/history/0/fits/1/estimate/mean": ["m2"],
    "/refresh/channels/0/own_before": ["m"],
    "/refresh/channels/0/own_after": ["m2"],
    "/refresh/channels/0/common/before/hdi_low": ["m"],
    "/refresh/channels/0/common/after": ["m2"],
    "/refresh/channels/0/common/change": ["m2", "m"],
    "/refresh/channels/0/expected_change": ["m2", "m"],
    "/refresh/ladder/0/moves/0/before": ["m"],
    "/refresh/ladder/0/moves/0/after": ["refit"],
    "/refresh/ladder/0/moves/0/change": ["m", "refit"],
    "/refresh/ladder/1/moves/0/before": ["refit"],
    "/refresh/ladder/1/moves/0/after": ["m2"],
    "/refresh/ladder/1/moves/0/change": ["m2", "refit"],
}


async def test_a_figure_of_an_earlier_fit_leads_to_that_fit_and_not_to_the_one_that_shows_it(
    world: World,
) -> None:
    await world.put_later_fit()
    models = {"m": "k", "m2": "k2", "refit": "refit"}
    for pointer, names in OF_LATER_FIT.items():
        chain = await world.chain(f"m2#{pointer}")
        on = [x.workflow_id if x.kind is LinkKind.RUN else x.name for x in chain.rests_on]
        assert on == names, pointer
        found = [x.name for x in chain.all() if x.kind is LinkKind.MODEL]
        assert found == [models[name] for name in names], pointer


async def test_a_figure_of_a_run_or_refit_that_is_gone_ends_the_chain(world: World) -> None:
    refit = await world.put_later_fit()
    (refit / MANIFEST).unlink()
    [model] = (await world.chain("m2#/refresh/ladder/0/moves/0/after")).rests_on
    assert model.missing and "no model folder" in model.missing
    await world.runner.delete("m")
    for pointer in ("/history/0/fits/0/estimate/mean", "/refresh/channels/0/own_before"):
        [run] = (await world.chain(f"m2#{pointer}")).rests_on
        assert (run.workflow_id, run.missing) == ("m", "the run m was deleted.")
        assert not run.rests_on


async def test_a_refit_on_another_table_is_not_traced_to_that_of_its_run(world: World) -> None:
    refit = await world.put_later_fit()
    chain = await world.chain(str(refit))
    assert one(chain, LinkKind.DATASET).missing is None, "this one is on the table of its run"
    asked = [x.name for x in chain.rests_on if x.kind is LinkKind.DECISION]
    assert not asked, "its run decided about the model that it returned"
    write_manifest(
        refit, project="default", key="refit", mff_sha256="0" * 64, seed=42, depth=Depth.QUICK,
        versions={},
    )  # fmt: skip
    for name in (str(refit), "m2#/refresh/ladder/0/moves/0/after"):
        table = one(await world.chain(name), LinkKind.DATASET)
        assert table.missing and "not the table that the model was fitted on" in table.missing
        assert not table.rests_on


async def test_a_figure_of_another_answer_leads_to_the_run_that_found_it(world: World) -> None:
    asked = {
        "model_artifact_path": str(world.model), "mff_data_path": str(world.mff),
        "user_query": "What if we spend 20% more on TV over the next 13 weeks?",
    }  # fmt: skip
    result = await world.run("whatif", asked, "w2")
    similar = result["remembered"]["similar"][0]
    assert similar["workflow_id"] == "w"
    recorded = {"forecasts": [{"workflow_id": "m", "target": "Sales_EUR", "plans": 1}]}
    heard = [{"workflow_id": "r", "channel": "TV", "claim": world.claim}]
    result["track_record"], result["remembered"]["claims"] = recorded, heard
    await world.runner.services.runs.update("w2", result=result)
    for pointer, name in (
        ("/remembered/similar/0/delta", "w"),
        ("/remembered/similar/0/now", "w2"),
        ("/remembered/alike", "w2"),
        ("/track_record/forecasts/0/plans", "m"),
    ):
        assert [x.workflow_id for x in (await world.chain(f"w2#{pointer}")).rests_on] == [name]
    assert (await world.chain("w2#/remembered/claims/0/claim/value")).missing is None
    await world.runner.delete("r")
    gone = (await world.chain("w2#/remembered/claims/0/claim/value")).missing
    assert gone == "the run r was deleted."


async def test_a_finding_of_eda_leads_to_its_cells(world: World) -> None:
    result = (await world.runner.get("e")).result or {}
    findings = result["quality_report"]["findings"]
    at = next(i for i, f in enumerate(findings) if f["cells"])
    for pointer in (f"/quality_report/findings/{at}", f"/quality_report/findings/{at}/message"):
        chain = await world.chain(f"e#{pointer}")
        assert chain.kind is LinkKind.FINDING
        assert chain.facts["cells"] == ["row 5 of sales.csv", "row 9 of sales.csv"]
        assert one(chain, LinkKind.SERIES, "TV_Spend").rests_on, "its cleaning step"
        assert one(chain, LinkKind.SOURCE).path == str(world.sales)


async def test_a_decision_is_told_once_where_it_was_made(world: World) -> None:
    for asked in ("e", "m"):
        told = [x.name for x in (await world.chain(asked)).all() if x.kind is LinkKind.DECISION]
        assert told and len(told) == len(set(told))


async def test_a_file_that_changed_or_went_is_said(world: World) -> None:
    kept = world.sales.read_bytes()
    world.sales.write_bytes(kept + b"2030-01-07,1,2,3\n")
    chain = await world.chain(f"m#{NUMBER}")
    assert one(chain, LinkKind.SOURCE).state is FileState.CHANGED
    assert one(chain, LinkKind.SOURCE).sha256 == hashlib.sha256(kept).hexdigest()
    world.sales.unlink()
    assert one(await world.chain("e"), LinkKind.SOURCE).state is FileState.GONE
    (world.model / DRAWS).write_bytes(b"other")
    assert one(await world.chain("m"), LinkKind.DRAWS).state is FileState.CHANGED


async def test_a_deleted_run_ends_the_chain_where_it_stood(world: World) -> None:
    await world.runner.delete("r")
    claim = one(await world.chain(f"m#{NUMBER}"), LinkKind.CLAIM)
    assert claim.missing and "no Research run" in claim.missing
    await world.runner.delete("e")
    table = one(await world.chain(f"m#{NUMBER}"), LinkKind.DATASET)
    assert table.missing and "There is no file" in table.missing
    assert not table.rests_on
    await world.runner.delete("m")
    model = one(await world.chain("w"), LinkKind.MODEL)
    assert model.missing and "no model folder" in model.missing


async def test_a_table_that_no_run_made_is_said_to_be_from_elsewhere(
    world: World, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "mine"
    elsewhere.mkdir()
    for file in world.mff.parent.iterdir():
        (elsewhere / file.name).write_bytes(file.read_bytes())
    asked = {"mff_data_path": str(elsewhere / world.mff.name), "question": "what?", "code": "1"}
    runs = world.runner.services.runs
    run = Run(
        workflow_id="a", workflow="ask", seed=1, depth=Depth.QUICK, graph_version="x",
        request=asked, status=RunStatus.SUCCEEDED,
    )  # fmt: skip
    head = Result(workflow_id="a", status=RunStatus.SUCCEEDED, depth=Depth.QUICK, seed=1)
    named = {**head.model_dump(mode="json"), "named_figures": {"sum": 3.0}, "code_path": "x.py"}
    await runs.create(run.model_copy(update={"result": named}))
    chain = await world.chain("a#/named_figures/sum")
    assert chain.says == "named figures sum: 3; no unit and no interval are stored with it"
    assert one(chain, LinkKind.PROGRAM).path == "x.py"
    table = one(chain, LinkKind.DATASET)
    assert table.missing and "made elsewhere" in table.missing
    assert one(chain, LinkKind.SOURCE).missing


async def test_a_number_of_a_pipeline_leads_through_its_part(world: World) -> None:
    runs = world.runner.services.runs
    part = (await world.runner.get("m")).result
    head = Result(workflow_id="p", status=RunStatus.SUCCEEDED, depth=Depth.QUICK, seed=42)
    await runs.create(
        Run(
            workflow_id="p", workflow="pipeline", seed=42, depth=Depth.QUICK, graph_version="x",
            request={}, status=RunStatus.SUCCEEDED,
            result={**head.model_dump(mode="json"), "modeling": part},
        )
    )  # fmt: skip
    whole = await world.chain(f"p#/modeling{NUMBER}")
    alone = await world.chain(f"m#{NUMBER}")
    assert whole.rests_on == alone.rests_on
    assert [x.name for x in (await world.chain("p")).rests_on] == ["modeling m"]


async def test_what_is_no_figure_and_no_thing_is_refused(world: World) -> None:
    nothing = "Nothing in project 'default'"
    for asked, told in (
        ("m#/channels/9/roas", "leads nowhere: where '9' should be there is 0 to 1"),
        ("m#/chanels", "leads nowhere"),
        ("m#channels", "no JSON pointer"),
        ("m#/channels/0/roi", "holds no number: no margin was given"),
        ("m#/summary", "holds no number but str"),
        ("m#/channels", "Name one, such as /channels/0/spend/value"),
        ("nothing", nothing),
        ("nothing#/a", nothing),
        ("../../etc/passwd", nothing),
    ):
        with pytest.raises(UserError) as caught:
            await world.chain(asked)
        assert told in caught.value.message
        assert caught.value.code == "lineage_unknown"


async def test_a_run_that_has_not_succeeded_has_no_chain(world: World) -> None:
    asked = {
        "model_artifact_path": str(world.model), "mff_data_path": str(world.mff),
        "user_query": "hello",
    }  # fmt: skip
    assert (await world.run("whatif", asked, "q"))["status"] == "waiting"
    assert (await world.chain("q")).missing == (
        "it is waiting, and only what succeeded has a result."
    )  # fmt: skip
    with pytest.raises(UserError, match="is waiting"):
        await world.chain("q#/seed")


async def test_what_another_version_stored_ends_the_chain_by_name(world: World) -> None:
    runs = world.runner.services.runs
    answer, plan = (await runs.get("w")).result or {}, (await runs.get("r")).result or {}
    await runs.update("w", result={**answer, "scenario_results": [{"old": 1}]})
    [run] = (await world.chain("w#/seed")).rests_on
    for link in (run, await world.chain("w")):
        assert link.workflow_id == "w" and not link.rests_on
        assert link.missing and "another version" in link.missing
    await runs.update("r", result={**plan, "claims": [{**world.claim, "statement": "another"}]})
    claim = one(await world.chain(f"m#{NUMBER}"), LinkKind.CLAIM)
    assert claim.missing and "no Research run" in claim.missing
    with pytest.raises(UserError, match="another version") as caught:
        await world.chain("r#/claims/0/value")
    assert caught.value.code == "lineage_unknown"


async def test_what_came_later_stands_beside_the_chain(world: World) -> None:
    asked = {"query": "Build MMM for beverage brand", "replay": str(ROOT / "examples/replay")}
    await world.run("research", asked, "r2")
    assert (await world.chain("r2")).later == ()
    [later] = (await world.chain("r")).later
    assert "superseded" in later and "run r2" in later


async def test_the_graph_says_which_claim_a_model_cites_and_which_content_a_table_is_of(
    world: World,
) -> None:
    memory = await world.runner.memory.bring_in("default")
    nodes, edges = await memory.everything("default")
    named = {n.node_id: n for n in nodes}
    cites = [e for e in edges if e.kind == "CITES" and named[e.source].kind == "Model"]
    assert [named[e.target].properties["claim_id"] for e in cites] == [world.claim["claim_id"]]
    assert named[cites[0].target].name == world.claim["statement"], "as Research noted it"
    assert cites[0].evidence == "the prior of TV_Spend"
    [file] = [n for n in nodes if n.kind == "Document" and n.name == str(world.sales)]
    assert file.properties["sha256"] == sha256(world.sales)


async def test_another_project_does_not_see_a_file(world: World) -> None:
    with pytest.raises(UserError):
        await world.runner.memory.lineage(str(world.model), project="other")
    found = await world.runner.memory.lineage("m", project="other")
    assert found.project == "default", "a run is found wherever it is"
    json.dumps(found.model_dump(mode="json"), allow_nan=False)
