"""Two model folders with their data are compared; refits are planned, offered or refused with a reason."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_draws
from model_folders import make_model_folder
from test_refresh import changed, cut
from test_specs import make_dataset

from mmm_workflows.mmm.dataset import Dataset, read_mff, write_mff
from mmm_workflows.mmm.earlier import EarlierFit, EarlierFits
from mmm_workflows.mmm.facts import modeling_facts
from mmm_workflows.mmm.history import describe_history, history_of
from mmm_workflows.mmm.lineage import knowledge_of
from mmm_workflows.mmm.model_files import (
    ModelFolder,
)
from mmm_workflows.mmm.narrative import faults
from mmm_workflows.mmm.plan import ResearchPlan
from mmm_workflows.mmm.refresh import returns
from mmm_workflows.mmm.refresh_causes import Refit
from mmm_workflows.mmm.refresh_models import (
    REFITS,
    Pair,
    climb,
    compare_models,
    refits_of,
    with_note,
)
from mmm_workflows.mmm.refresh_spec import on_data
from mmm_workflows.mmm.refresh_values import Cause, Refresh
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
from mmm_workflows.mmm.spec import ModelSpec
from mmm_workflows.mmm.spec_builder import propose_spec
from mmm_workflows.records import Depth

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
WEEKS = 96


def results_of(spec: ModelSpec, verdict: FitVerdict, at: float) -> ModelResults:
    some = summarise(np.linspace(at, at + 1, 40), "EUR per EUR")
    channels = tuple(
        ChannelResult(
            channel=c.name, spend=Amount(value=9.0, unit="EUR"), contribution=some, share=some,
            roas=some if spec.target_is_money else None, roi=None,
            cost_per_contribution=None if spec.target_is_money else some, mroas=None, verdict=None,
            reasons={},
        )
        for c in spec.channels
    )  # fmt: skip
    return ModelResults(
        target=spec.target, unit="EUR", spend_unit="EUR", depth=Depth.QUICK, seed=1,
        window=Window(start=spec.start, end=spec.end), fit_verdict=verdict, channels=channels,
        drivers=(), baseline=some,
        fit=GoodnessOfFit(r2=some, mape=0.1, coverage=0.9, holdout=None, reasons={}),
        diagnostics=Diagnostics(
            rhat_max=1, ess_bulk_min=900, ess_tail_min=900, divergences=0, draws=400, chains=4,
            checks=(), not_run=(),
        ),
    )  # fmt: skip


class Models:
    """Model folders without a fit: hand-made draws under the names of a real spec and its data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def data(self, dataset: Dataset, name: str) -> Path:
        return write_mff(dataset, self.folder / name, "sales")

    def model(
        self, name: str, mff: Path, *, shift: float = 0.0, seed: int = 1, key: str = "k",
        versions: dict[str, str] | None = None, verdict: FitVerdict = FitVerdict.PASS,
        **wishes: Any,
    ) -> ModelFolder:  # fmt: skip
        dataset = read_mff(mff)
        spec = propose_spec(dataset, ResearchPlan(), {"trend_knots": 1, **wishes}).spec
        frame = dataset.national()
        names = tuple(c.name for c in spec.channels)
        drawn = make_draws(count=400, periods=len(frame), channels=names, seed=seed)
        draws = replace(
            drawn,
            dates=frame.index.to_numpy().astype("datetime64[D]"),
            spend=frame[list(names)].to_numpy(),
            beta=drawn.beta + np.array([shift, *(0.0 for _ in names[1:])]),
        )
        return make_model_folder(
            self.folder / "models" / name, spec, results_of(spec, verdict, shift), draws,
            project="p", key=key, mff_sha256=dataset.sidecar.mff_sha256, seed=seed,
            depth=Depth.QUICK, versions=versions or {"pymc": "1"},
        )  # fmt: skip


@pytest.fixture
def models(tmp_path: Path) -> Models:
    return Models(tmp_path)


def fit_of(model: ModelFolder, mff: Path, day: int = 1) -> EarlierFit:
    spec, results = model.spec(), model.results()
    return EarlierFit(
        workflow_id=f"run-{model.path.name}", ended_at=NOON.replace(day=day), seed=1,
        depth=Depth.QUICK, spec=spec, fit_verdict=results.fit_verdict, window=results.window,
        channels=results.channels, model_path=str(model.path), mff_path=str(mff),
    )  # fmt: skip


def pair_of(models: Models, before: Dataset, after: Dataset, **wishes: Any) -> Pair:
    old, new = models.data(before, "old"), models.data(after, "new")
    first = models.model("first", old)
    second = models.model("second", new, shift=0.1, **wishes)
    return Pair(fit_of(first, old), first, second, new)


def base(weeks: int = WEEKS) -> Dataset:
    return cut(make_dataset(), 0, weeks)


def restated(weeks: int = WEEKS) -> Dataset:
    return changed(base(weeks), {"TV_Spend": {3: 70_000.0, 4: 70_000.0}})


def test_new_weeks_alone_are_what_the_change_comes_from(models: Models) -> None:
    pair = pair_of(models, base(), base(WEEKS + 4))
    refresh = with_note(pair, compare_models(pair))
    assert refresh.causes == (Cause.ADDED,)
    assert refits_of(pair, refresh, Depth.FULL, 1) == ()
    assert "4 new weeks (2024-11-04 to 2024-11-25)" in refresh.note
    assert "Beyond noise the change comes from the new periods." in refresh.note
    assert "TV_Spend returned" in refresh.note
    assert refresh.channels[0].own_before == refresh.channels[0].common.before


def test_a_changed_spec_alone_is_what_the_change_comes_from(models: Models) -> None:
    pair = pair_of(models, base(), base(), l_max=4)
    refresh = with_note(pair, compare_models(pair))
    assert refresh.causes == (Cause.SPEC,)
    assert "changed spec: l_max from 8 to 4" in refresh.note
    assert "comes from the changed spec" in refresh.note


def test_restated_history_is_named_by_variable(models: Models) -> None:
    pair = pair_of(models, base(), restated())
    refresh = with_note(pair, compare_models(pair))
    assert refresh.causes == (Cause.RESTATED,)
    assert "restated history of TV_Spend in 2.08 % of its values (+" in refresh.note


def test_several_causes_are_not_told_apart_without_refits(models: Models) -> None:
    pair = pair_of(models, base(), restated(WEEKS + 4), l_max=4)
    refresh = compare_models(pair)
    assert refresh.causes == (Cause.RESTATED, Cause.ADDED, Cause.SPEC)
    offered = refits_of(pair, refresh, Depth.STANDARD, 7)
    assert offered == REFITS
    note = with_note(pair, refresh.model_copy(update={"not_run": (REFITS,)})).note
    assert "is not told apart" in note and "depth full" in note


def test_refits_go_from_the_earlier_fit_to_this_one_cause_by_cause(models: Models) -> None:
    pair = pair_of(models, base(), restated(WEEKS + 4), l_max=4)
    refresh = compare_models(pair)
    refits = refits_of(pair, refresh, Depth.FULL, 7)
    assert isinstance(refits, tuple)
    old = pair.earlier.spec
    assert [r.cause for r in refits] == [Cause.RESTATED, Cause.ADDED]
    assert all(r.mff_path == pair.mff_path and r.seed == 7 for r in refits)
    assert (refits[0].spec.start, refits[0].spec.end) == (old.start, old.end)
    assert refits[0].spec == on_data(old, restated())
    assert refits[1].spec == on_data(old, restated(WEEKS + 4))
    assert refits[1].spec.l_max == 8, "the old choices, on all of the new data"

    middle = [models.model(r.cause, pair.mff_path, shift=0.05) for r in refits]
    climbed = climb(pair, refresh, list(zip(refits, middle, strict=True)))
    assert [rung.cause for rung in climbed.ladder] == list(refresh.causes)
    for at, channel in enumerate(climbed.channels):
        steps = [rung.moves[at].change for rung in climbed.ladder]
        assert sum(steps) == pytest.approx(channel.common.change)
    note = with_note(pair, climbed).note
    assert "one after the other: the restated history moved TV_Spend from" in note
    assert "; the new periods moved no channel beyond noise; the changed spec moved TV" in note


def test_a_refit_that_failed_tells_nothing(models: Models) -> None:
    pair = pair_of(models, base(), restated(WEEKS + 4))
    refresh = compare_models(pair)
    (refit,) = refits_of(pair, refresh, Depth.FULL, 7)
    assert isinstance(refit, Refit)
    failed = models.model("middle", pair.mff_path, verdict=FitVerdict.FAIL)
    climbed = with_note(pair, climb(pair, refresh, [(refit, failed)]))
    assert climbed.ladder == (), "it would be measured from the refit that failed"
    assert "not told apart: the refit after restated history failed" in climbed.note


def test_periods_that_are_gone_are_taken_from_the_earlier_data_first(models: Models) -> None:
    pair = pair_of(models, base(), cut(restated(WEEKS + 4), 2, WEEKS + 4))
    refresh = compare_models(pair)
    assert refresh.causes == (Cause.DROPPED, Cause.RESTATED, Cause.ADDED)
    refits = refits_of(pair, refresh, Depth.FULL, 7)
    assert isinstance(refits, tuple)
    assert [r.cause for r in refits] == [Cause.DROPPED, Cause.RESTATED]
    without, then_restated = refits
    assert without.spec == on_data(pair.earlier.spec, cut(base(), 2, WEEKS))
    assert (without.mff_path, without.seed) == (Path(pair.earlier.mff_path), 1)
    assert then_restated.spec == on_data(pair.earlier.spec, cut(restated(), 2, WEEKS))
    assert then_restated.mff_path == pair.mff_path


def test_refits_that_cannot_be_made_are_refused_with_a_reason(models: Models) -> None:
    nothing = changed(base(), {"Price": dict.fromkeys(range(3), -1.0)})
    old, new = models.data(base(), "old"), models.data(nothing, "new")
    first = models.model("first", old, controls={"Price": "log"})
    pair = Pair(fit_of(first, old), first, models.model("second", new, l_max=4), new)
    refresh = compare_models(pair)
    assert refresh.causes == (Cause.RESTATED, Cause.SPEC)
    assert "has no log" in str(refits_of(pair, refresh, Depth.FULL, 1))
    silent = changed(base(), {"TV_Spend": dict.fromkeys(range(WEEKS), 0.0)})
    pair = Pair(pair.earlier, first, pair.after, models.data(silent, "silent"))
    assert "TV_Spend has no spend" in str(refits_of(pair, refresh, Depth.FULL, 1))


def test_a_variable_that_is_gone_cannot_be_refitted(models: Models) -> None:
    after = restated()
    frame = after.frame[after.frame["VariableName"] != "Price"]
    kept = tuple(v for v in after.sidecar.variables if v.name != "Price")
    sidecar = after.sidecar.model_copy(update={"variables": kept})
    pair = pair_of(models, base(), Dataset(frame, sidecar))
    refresh = compare_models(pair)
    assert refresh.causes == (Cause.RESTATED, Cause.SPEC)
    assert "needs Price" in str(refits_of(pair, refresh, Depth.FULL, 1))


def test_other_software_is_a_cause_also_when_it_calls_itself_the_same(models: Models) -> None:
    mff = models.data(base(), "old")
    first = models.model("first", mff)
    for name, more in {"a": {"versions": {"pymc": "2"}}, "b": {"key": "other"}}.items():
        second = models.model(name, mff, **more)  # type: ignore[arg-type]
        refresh = compare_models(Pair(fit_of(first, mff), first, second, mff))
        assert refresh.causes == (Cause.SOFTWARE,), name
    other = models.model("c", mff, seed=5, key="other")
    assert compare_models(Pair(fit_of(first, mff), first, other, mff)).causes == ()


def test_data_that_is_gone_is_said_and_never_taken_for_equal(models: Models) -> None:
    pair = pair_of(models, base(), base(WEEKS + 4))
    shutil.rmtree(pair.mff_path.parent.parent / "old")
    refresh = with_note(pair, compare_models(pair))
    assert refresh.data is None and refresh.reasons["data"]
    assert refresh.causes == (Cause.DATA,)
    assert "cannot be read" in refresh.note
    two = refresh.model_copy(update={"causes": (Cause.DATA, Cause.SPEC)})
    assert "cannot be compared" in str(refits_of(pair, two, Depth.FULL, 1))
    models.data(restated(), "old")
    assert "no longer" in compare_models(pair).reasons["data"]


def test_fits_without_a_common_period_are_not_compared(models: Models) -> None:
    pair = pair_of(models, base(40), cut(make_dataset(), 50, 104))
    refresh = with_note(pair, compare_models(pair))
    assert refresh.common_window is None and refresh.channels == ()
    assert "not compared" in refresh.note


def test_the_latest_other_usable_fit_is_the_one_to_compare_with(models: Models) -> None:
    mff = models.data(base(), "old")
    made = [models.model(str(k), mff, seed=k) for k in range(3)]
    fits = tuple(fit_of(m, mff, day=9 - k) for k, m in enumerate(made))
    found = EarlierFits(fits=fits)
    assert found.before(str(made[0].path)) == fits[1], "an equal fit tells nothing"
    failed = fits[0].model_copy(update={"fit_verdict": FitVerdict.FAIL})
    assert EarlierFits(fits=(failed, *fits[1:])).before("new") == fits[1]
    assert EarlierFits().before("new") is None


def told(models: Models, count: int = 3) -> tuple[list[EarlierFit], ModelFolder]:
    mff = models.data(base(), "old")
    made = [models.model(str(k), mff, seed=k, shift=k / 10) for k in range(count)]
    fits = [fit_of(model, mff, day=1 + k) for k, model in enumerate(made)]
    return list(reversed(fits)), models.model("now", mff, seed=9, shift=1.0)


def test_history_tells_each_fit_once_the_oldest_first_and_no_figure_of_a_failed_one(
    models: Models,
) -> None:
    earlier, now = told(models)
    same = earlier[-1].model_copy(update={"workflow_id": "repeat", "ended_at": NOON.replace(day=9)})
    failed = earlier[0].model_copy(update={"fit_verdict": FitVerdict.FAIL})
    fits = (same, failed, *earlier[1:])
    history = history_of(fits, "me", str(now.path), now.spec(), now.results())
    assert [h.channel for h in history] == ["TV_Spend", "Search_Spend"]
    entries = history[0].fits
    assert [e.workflow_id for e in entries] == ["run-0", "run-1", "run-2", "me"]
    assert [e.estimate is None for e in entries] == [False, False, True, False]
    assert entries[-1].ended_at is None
    assert entries[1].spec_digest == now.spec().digest()
    (sentence,) = describe_history(history)
    assert "TV_Spend 0.5, 0.6, 1.5" in sentence
    assert describe_history(history_of((), "me", "x", now.spec(), now.results())) == ()


def test_a_target_that_is_counted_has_a_history_of_costs_and_is_compared_by_its_inverse(
    models: Models,
) -> None:
    counted = cut(make_dataset(is_money=False), 0, WEEKS)
    pair = pair_of(models, counted, changed(counted, {"Price": {1: 99.0}}))
    results = pair.after.results()
    history = history_of((pair.earlier,), "me", "now", pair.after.spec(), results)
    assert {h.quantity for h in history} == {"cost_per_contribution"}
    assert [fit.estimate for fit in history[0].fits] == [
        model.results().channels[0].cost_per_contribution for model in (pair.before, pair.after)
    ]
    refresh = compare_models(pair)
    drawn = pair.after.draws()
    window = refresh.common_window
    assert window is not None
    per_spend = returns(drawn, drawn.channels[0], window)
    assert refresh.channels[0].common.after.mean == pytest.approx(per_spend.mean())


def test_of_a_long_history_the_latest_fits_are_told(models: Models) -> None:
    earlier, now = told(models, 8)
    history = history_of(earlier, "me", str(now.path), now.spec(), now.results())
    assert len(history[0].fits) == 9
    assert "TV_Spend 0.9, 1, 1.1, 1.2, 1.5;" in describe_history(history)[0]
    listed = modeling_facts(now.results(), None, history).by_reference
    past = [name for name in listed if name.startswith("history.TV_Spend")]
    assert past == [f"history.TV_Spend.{k}" for k in (4, 5, 6, 7)]


def at(result: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        result = result[int(part)] if isinstance(result, list) else result[part]
    return result


def test_a_text_may_cite_every_figure_of_a_refresh_and_its_history(models: Models) -> None:
    pair = pair_of(models, base(), base(WEEKS + 4))
    refresh = compare_models(pair)
    results = pair.after.results()
    history = history_of((pair.earlier,), "me", str(pair.after.path), pair.after.spec(), results)
    facts = modeling_facts(results, refresh, history)
    assert len(facts.by_reference) == len(facts.facts)
    body = {
        "refresh": refresh.model_dump(mode="json"),
        "history": [h.model_dump(mode="json") for h in history],
    }
    new = [f for f in facts.facts if f.field.startswith(("/refresh", "/history"))]
    assert {f.reference.split(".")[0] for f in new} == {"refresh", "history"}
    for fact in new:
        assert at(body, fact.field) is not None
        said = f"{fact.subject or 'It'} has {fact.words[0]} [[{fact.reference}]]."
        assert faults([said], facts) == (), said
    swapped = "TV_Spend returned before [[refresh.after.TV_Spend]]."
    assert faults([swapped], facts), "the new figure passed off as the old one"


def test_memory_holds_what_superseded_what_on_what_evidence(models: Models) -> None:
    pair = pair_of(models, base(), base(WEEKS + 4))
    refresh = with_note(pair, compare_models(pair))
    results = pair.after.results()
    known = _known(pair, refresh, results)
    (edge,) = (e for e in known.edges.values() if e.kind == "SUPERSEDES")
    assert edge.evidence == refresh.note
    assert known.nodes[edge.target].properties["path"] == str(pair.before.path)
    about = results.window.start, results.window.end + timedelta(days=7)
    for said in (*known.passages.values(), *(e for e in known.edges.values() if e is not edge)):
        assert said.valid_from is not None and said.valid_to is not None
        assert (said.valid_from.date(), said.valid_to.date()) == about
    days = {"first": about[0].isoformat(), "last": (about[1] - timedelta(days=1)).isoformat()}
    (made,) = (e.source for e in known.edges.values() if e is edge)
    assert {name: known.nodes[made].properties[name] for name in days} == days
    insights = [p for p in known.passages.values() if p.kind == "Channel"]
    assert [p.where for p in insights] == ["/channels/0", "/channels/1"]
    assert "a ROAS of" in insights[0].text and "fit verdict pass" in insights[0].text
    failed = results.model_copy(update={"fit_verdict": FitVerdict.FAIL})
    left = _known(pair, None, failed)
    assert not [p for p in left.passages.values() if p.kind == "Channel"]
    assert not [e for e in left.edges.values() if e.kind == "SUPERSEDES"]


def _known(pair: Pair, refresh: Refresh | None, results: ModelResults) -> Any:
    result = {
        "project": "p", "workflow_id": "me", "model_artifact_path": str(pair.after.path),
        "summary": "s", "decisions": [], "model_spec": pair.after.spec().model_dump(mode="json"),
        "refresh": refresh and refresh.model_dump(mode="json"),
        **results.model_dump(mode="json", include={"channels", "window", "fit_verdict"}),
    }  # fmt: skip
    request = {"mff_data_path": str(pair.mff_path)}
    return knowledge_of("modeling", result, request=request, at=NOON)
