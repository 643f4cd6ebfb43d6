"""A renamed channel keeps its history and its accepted prior, where EDA recorded the rename."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from test_known_again import run_of
from test_refresh import cut
from test_refresh_models import Models, fit_of
from test_specs import make_dataset

from mmm_workflows.config import Settings
from mmm_workflows.mmm.chain_figures import find_place, subject_of
from mmm_workflows.mmm.dataset import Dataset, read_mff
from mmm_workflows.mmm.earlier import EarlierFit, EarlierFits, earlier_fits
from mmm_workflows.mmm.history import ChannelHistory, describe_history, history_of
from mmm_workflows.mmm.known_again import known_again
from mmm_workflows.mmm.model_files import ModelFolder
from mmm_workflows.mmm.plan import PlannedPrior, ResearchPlan
from mmm_workflows.mmm.refresh_causes import Cause
from mmm_workflows.mmm.refresh_models import Pair, compare_models, refits_of
from mmm_workflows.mmm.renames import recorded_renames
from mmm_workflows.mmm.spec_builder import SpecProposal
from mmm_workflows.mmm.spec_start import propose_from
from mmm_workflows.records import Depth, Json, Run
from mmm_workflows.workflows.context import Context
from mmm_workflows.workflows.front import read_request
from mmm_workflows.workflows.runner import Runner, open_runner
from mmm_workflows.workflows.steps.refreshing import find_earlier

TOLD: Json = {
    "target_variable": "Revenue", "media_channels": ["TV_Spend", "Search_Spend"],
    "control_variables": ["Price"], "target_unit": "EUR", "currency": "EUR",
}  # fmt: skip
PRIOR = PlannedPrior(
    channel="TV_Spend", quantity="roas", median=1.5, spread=0.5, claims=("C-1",), why="w",
    accepted=True,
)  # fmt: skip
WEEKS = 96
WORLD = make_dataset(weeks=120)


@pytest.fixture
async def runner(settings: Settings) -> AsyncIterator[Runner]:
    async with open_runner(settings) as opened:
        yield opened


@pytest.fixture
def models(tmp_path: Path) -> Models:
    return Models(tmp_path)


async def eda(
    runner: Runner, models: Models, name: str, weeks: int, names: Mapping[str, str], **told: object
) -> Path:
    """The MFF that EDA makes of the first weeks of the world, its columns under these names."""
    table = WORLD.national().head(weeks).rename(columns=dict(names))
    path = models.folder / f"{name}.csv"
    table.rename_axis("Date").reset_index().to_csv(path, index=False)
    request = read_request("eda", {"data_sources": [str(path)], **told})
    return Path((await runner.start("eda", request, workflow_id=name))["mff_data_path"])


async def fitted(runner: Runner, models: Models, mff: Path, name: str) -> EarlierFit:
    """A run of Modeling on an MFF, whose model has a cited prior on the first channel."""
    plan = ResearchPlan(priors=(PRIOR,))
    spec = propose_from(EarlierFits(), read_mff(mff), plan, None).spec
    fit = fit_of(models.model(name, mff), mff)
    done = fit.model_copy(update={"spec": spec})
    await runner.services.runs.create(run_of(done))
    return done


async def earlier_of(runner: Runner, mff: Path) -> EarlierFits:
    context = SimpleNamespace(
        runs=runner.services.runs, project="default", at_hand=runner.services.at_hand
    )
    context.done = partial(Context.done, context)
    return await find_earlier(cast(Context, context), read_mff(mff), str(mff))


def history(models: Models, found: EarlierFits, mff: Path) -> dict[str, ChannelHistory]:
    now = models.model("now", mff, shift=0.2)
    told = history_of(found.fits, "me", str(now.path), now.spec(), now.results())
    return {h.channel: h for h in told}


def propose(found: EarlierFits, mff: Path) -> SpecProposal:
    return propose_from(found, read_mff(mff), ResearchPlan(), None)


async def test_a_renamed_channel_keeps_its_history_and_its_accepted_prior(
    runner: Runner, models: Models
) -> None:
    first = await eda(runner, models, "first", WEEKS, {}, **TOLD)
    fit = await fitted(runner, models, first, "one")
    renamed = await eda(runner, models, "renamed", WEEKS + 4, {"TV_Spend": "Television"})
    found = await earlier_of(runner, renamed)

    told = history(models, found, renamed)
    assert [(p.workflow_id, p.called) for p in told["Television"].fits] == [
        ("run-one", "TV_Spend"), ("me", None),
    ]  # fmt: skip
    assert told["Television"].fits[0].estimate == fit.channels[0].roas
    assert "Television was called 'TV_Spend' until run renamed of 20" in told["Television"].note
    place = find_place(
        {"history": [told["Television"].model_dump(mode="json")]}, "/history/0/fits/0/estimate/mean"
    )
    assert (
        subject_of(place) == "TV_Spend"
    ), "the figure leads to a channel that its run did not have"
    assert told["Search_Spend"].note == "" and len(told["Search_Spend"].fits) == 2
    assert told["Television"].note in describe_history(tuple(told.values()))

    proposal = propose(found, renamed)
    prior = {c.name: c.return_prior for c in proposal.spec.channels}["Television"]
    assert prior is not None and prior.claims == ("C-1",)
    (decision,) = (d for d in proposal.decisions if "return of Television" in d.question)
    assert "accepted for this channel, called 'TV_Spend' until run renamed" in decision.reason


async def test_without_a_recorded_rename_the_history_starts_here_and_says_why(
    runner: Runner, models: Models
) -> None:
    first = await eda(runner, models, "first", WEEKS, {}, **TOLD)
    await fitted(runner, models, first, "one")
    names = {"TV_Spend": "Television"}
    told = {**TOLD, "media_channels": ["Television", "Search_Spend"], "start_from": "rules"}
    anew = await eda(runner, models, "anew", WEEKS + 4, names, **told)
    found = await earlier_of(runner, anew)
    assert [fit.workflow_id for fit in found.fits] == ["run-one"]

    television = history(models, found, anew)["Television"]
    assert [p.workflow_id for p in television.fits] == ["me"]
    assert "starts here: none of the 1 other fits" in television.note
    assert "one that EDA recorded" in television.note
    proposal = propose(found, anew)
    assert all(c.return_prior is None for c in proposal.spec.channels)
    (left,) = (f for f in proposal.findings if f.code == "earlier_prior_left")
    assert left.variable == "TV_Spend" and "EDA recorded no new name" in left.message


class Versions:
    """Versions of one table, with the runs of EDA that know each from the one before."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self.runs: list[Run] = []
        self.last = models.data(cut(WORLD, 0, WEEKS), "v0")
        self.first = self.last

    def rename(self, names: dict[str, str]) -> None:
        now = read_mff(self.last).under(names)
        longer = cut(WORLD, 0, WEEKS + len(self.runs) + 1)
        # Another version, by the columns' present names.
        called = dict(zip([v.name for v in WORLD.sidecar.variables], _names(now), strict=True))
        path = self.models.data(longer.under(called), f"v{len(self.runs) + 1}")
        earlier = {"mff_data_path": str(self.last), "renamed": names}
        run = Run(
            workflow_id=f"e{len(self.runs) + 1}", workflow="eda", seed=1, graph_version="1", request={},
            result={"mff_data_path": str(path), "earlier": earlier},
        )  # fmt: skip
        self.runs.insert(0, run)
        self.last = path

    def earlier(self, model: ModelFolder) -> EarlierFit:
        renames = recorded_renames(self.runs, str(self.last))
        now, run = read_mff(self.last), run_of(fit_of(model, self.first))
        (fit,) = known_again(earlier_fits([run], now, renames.of), now).fits
        return fit


def _names(dataset: Dataset) -> list[str]:
    return [v.name for v in dataset.sidecar.variables]


def test_names_are_followed_over_several_versions_of_the_data(models: Models) -> None:
    """The name that was left belongs to another column by the end, of which nothing is told."""
    versions = Versions(models)
    versions.rename({"TV_Spend": "Telly", "Price": "Cost"})
    versions.rename({})
    versions.rename({"Telly": "Television", "Cost": "TV_Spend"})
    fit = versions.earlier(models.model("one", versions.first))
    assert fit.names == {"TV_Spend": "Television", "Price": "TV_Spend"}
    assert [c.name for c in fit.spec.channels] == ["Television", "Search_Spend"]
    assert [c.name for c in fit.spec.controls] == ["TV_Spend"]
    assert {r.workflow_id for r in fit.renamed} == {"e1"}


@pytest.mark.parametrize(
    "names",
    [{"TV_Spend": "TV", "Search_Spend": "Search"}, {"Revenue": "Turnover"}],
    ids=["every channel", "the target"],
)
def test_a_fit_is_found_whatever_was_renamed(models: Models, names: dict[str, str]) -> None:
    versions = Versions(models)
    versions.rename(names)
    fit = versions.earlier(models.model("one", versions.first))
    assert fit.names == names
    assert fit.spec.target == names.get("Revenue", "Revenue")


def test_a_copy_of_a_table_is_the_same_table(models: Models) -> None:
    versions = Versions(models)
    versions.rename({"TV_Spend": "Television"})
    copied = models.data(read_mff(versions.last), "copy")
    renames = recorded_renames(versions.runs, str(copied))
    assert [(r.was, r.now) for r in renames.of(str(versions.first))] == [("TV_Spend", "Television")]


def test_a_refresh_compares_a_renamed_channel_with_itself(models: Models) -> None:
    versions = Versions(models)
    versions.rename({"TV_Spend": "Television"})
    before = models.model("one", versions.first)
    now = models.model("now", versions.last, shift=0.2)
    pair = Pair(versions.earlier(before), before, now, versions.last)
    refresh = compare_models(pair)
    assert [c.channel for c in refresh.channels] == ["Television", "Search_Spend"]
    assert refresh.left_out == {}
    assert refresh.causes == (Cause.ADDED,), "a new name is no change of the spec"
    assert refresh.channels[0].own_before.mean < refresh.channels[0].own_after.mean
    other = refresh.model_copy(update={"causes": (Cause.SOFTWARE, Cause.ADDED)})
    assert "calls Television 'TV_Spend'" in str(refits_of(pair, other, Depth.FULL, 1))
