"""An earlier fit is one of this data by its values: another brand has the same names."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from test_refresh import changed, cut
from test_refresh_models import Models, fit_of
from test_specs import make_dataset

from mmm_workflows.db.engine import open_database
from mmm_workflows.db.migrate import migrate
from mmm_workflows.db.runs import RunStore
from mmm_workflows.mmm.dataset import Dataset, SourceFile, read_mff, sidecar_path
from mmm_workflows.mmm.earlier import EarlierFit, EarlierFits
from mmm_workflows.mmm.earlier_data import TABLES_COMPARED
from mmm_workflows.mmm.known_again import known_again
from mmm_workflows.mmm.plan import ResearchPlan
from mmm_workflows.mmm.spec_start import propose_from
from mmm_workflows.records import Run, RunStatus
from mmm_workflows.workflows.context import Context
from mmm_workflows.workflows.steps.refreshing import find_earlier

WEEKS = 104
WORLD = make_dataset(weeks=156)


@pytest.fixture
def models(tmp_path: Path) -> Models:
    return Models(tmp_path)


async def nothing_to_bring(paths: Sequence[str]) -> None:
    """All lies on this machine."""


def brand(seed: int, file: str = "data.csv") -> Dataset:
    """Data under the names of ``make_dataset`` with a target of its own."""
    revenue = np.random.default_rng(seed).normal(1e5, 5e3, WEEKS)
    dataset = make_dataset(Revenue=revenue)
    sources = (SourceFile(name=file, sha256="0" * 64),)
    return replace(dataset, sidecar=dataset.sidecar.model_copy(update={"sources": sources}))


def fitted(models: Models, dataset: Dataset, name: str) -> EarlierFit:
    mff = models.data(dataset, f"data-{name}")
    return fit_of(models.model(name, mff, adstock="delayed"), mff)


def present(models: Models, dataset: Dataset) -> Dataset:
    return read_mff(models.data(dataset, "now"))


def restated(count: int) -> Dataset:
    """The first weeks of the world with another target in so many of them."""
    return changed(cut(WORLD, 0, WEEKS), {"Revenue": dict.fromkeys(range(count), 1.0)})


def test_another_brand_of_the_same_names_lends_neither_spec_nor_history(models: Models) -> None:
    own, other = fitted(models, make_dataset(), "own"), fitted(models, brand(8), "other")
    now = present(models, cut(make_dataset(), 0, 100))
    found = known_again(EarlierFits(fits=(other, own)), now)
    assert found.fits == (own,)
    (dropped,) = found.other_data
    assert dropped.workflow_ids == ("run-other",)
    assert dropped.why == (
        "0 of the 100 values of its target 'Revenue' that can be compared are the same"
    )


def test_the_dropped_runs_are_named_in_one_finding_and_the_rules_choose(models: Models) -> None:
    fits = tuple(fitted(models, brand(k), str(k)) for k in (7, 8))
    now = present(models, make_dataset())
    proposal = propose_from(known_again(EarlierFits(fits=fits), now), now, ResearchPlan(), None)
    assert proposal.spec == propose_from(EarlierFits(), now, ResearchPlan(), None).spec
    (finding,) = (f for f in proposal.findings if f.code.startswith("earlier"))
    assert finding.code == "earlier_fit_other_data"
    assert "run-7" in finding.message and "run-8" in finding.message


@pytest.mark.parametrize(
    ("before", "is_one"),
    [
        (cut(WORLD, 0, 96), True),
        (restated(52), True),
        (restated(53), False),
        (cut(WORLD, 52, 156), True),
        (cut(WORLD, 53, 156), False),
    ],
    ids=["shorter", "half restated", "more restated", "half shared", "less shared"],
)
def test_the_data_is_a_version_when_half_of_it_is_shared_and_half_of_that_is_the_same(
    models: Models, before: Dataset, is_one: bool
) -> None:
    fit = fitted(models, before, "before")
    found = known_again(EarlierFits(fits=(fit,)), present(models, cut(WORLD, 0, WEEKS)))
    assert bool(found.fits) is is_one
    assert bool(found.other_data) is not is_one


def test_data_of_the_same_hash_is_the_same_though_its_table_is_gone(models: Models) -> None:
    fit = fitted(models, make_dataset(), "own")
    now = present(models, make_dataset())
    shutil.rmtree(Path(fit.mff_path).parent)
    assert known_again(EarlierFits(fits=(fit,)), now).fits == (fit,)


def test_the_model_may_be_gone_where_the_data_is_there(models: Models) -> None:
    own, other = fitted(models, make_dataset(), "own"), fitted(models, brand(8), "other")
    for fit in (own, other):
        shutil.rmtree(fit.model_path)
    now = present(models, cut(make_dataset(), 0, 100))
    assert known_again(EarlierFits(fits=(own, other)), now).fits == (own,)


@pytest.mark.parametrize("loss", ["gone", "edited", "replaced"])
def test_a_fit_whose_data_cannot_be_told_is_dropped_with_the_reason(
    models: Models, loss: str
) -> None:
    fit = fitted(models, make_dataset(), "own")
    path = Path(fit.mff_path)
    if loss == "gone":
        path.unlink()
    elif loss == "edited":
        path.write_text(path.read_text() + "\n")
    else:
        # What lies there now is a version of this data; what was fitted is another.
        models.data(cut(make_dataset(), 0, 90), "data-own")
    found = known_again(EarlierFits(fits=(fit,)), present(models, cut(make_dataset(), 0, 100)))
    assert found.fits == ()
    (dropped,) = found.other_data
    said = {"gone": "There is no file", "edited": "has changed since", "replaced": "no longer"}
    assert said[loss] in dropped.why and not dropped.why.endswith(".")


def test_so_many_tables_are_read_those_of_the_same_file_first(models: Models) -> None:
    others = [
        fitted(models, brand(100 + k, f"{k}.csv"), str(k)) for k in range(TABLES_COMPARED + 2)
    ]
    own = fitted(models, make_dataset(), "own")
    for last in others[-2:]:
        # Were it read, it would be refused for this and not for the count.
        path = Path(last.mff_path)
        path.write_text(path.read_text() + "\n")
    again = others[0].model_copy(update={"workflow_id": "again"})
    fits = (*others, again, own)
    found = known_again(EarlierFits(fits=fits), present(models, cut(make_dataset(), 0, 100)))
    assert found.fits == (own,)
    why = {run: dropped.why for dropped in found.other_data for run in dropped.workflow_ids}
    assert set(why) == {f.workflow_id for f in fits} - {"run-own"}
    compared = {run for run, because in why.items() if "not compared" not in because}
    # The own table is one of those read.
    assert compared == {"again", *(f"run-{k}" for k in range(TABLES_COMPARED - 1))}


def test_the_sidecar_alone_does_not_make_a_table(models: Models) -> None:
    fit = fitted(models, brand(8), "own")
    now = present(models, make_dataset())
    shutil.copy(models.folder / "now" / "sales.mff.json", sidecar_path(Path(fit.mff_path)))
    assert known_again(EarlierFits(fits=(fit,)), now).fits == ()


def run_of(fit: EarlierFit) -> Run:
    result = {
        **fit.model_dump(mode="json", include={"fit_verdict", "window", "channels"}),
        "model_spec": fit.spec.model_dump(mode="json"),
        "model_artifact_path": fit.model_path,
    }
    return Run(
        workflow_id=fit.workflow_id, workflow="modeling", status=RunStatus.SUCCEEDED, seed=1,
        graph_version="1", request={"mff_data_path": fit.mff_path}, result=result,
    )  # fmt: skip


async def test_two_brands_of_one_project_do_not_find_each_other(
    models: Models, tmp_path: Path
) -> None:
    own, other = fitted(models, make_dataset(), "own"), fitted(models, brand(8), "other")
    engine = await open_database(f"sqlite+aiosqlite:///{tmp_path / 'runs.db'}")
    try:
        await migrate(engine)
        store = RunStore(engine)
        for fit in (own, other):
            await store.create(run_of(fit))
        context = SimpleNamespace(runs=store, project="default", at_hand=nothing_to_bring)
        context.done = partial(Context.done, context)
        now = present(models, cut(make_dataset(), 0, 100))
        found = await find_earlier(
            cast(Context, context), now, str(models.folder / "now" / "sales.csv")
        )
    finally:
        await engine.dispose()
    assert [fit.workflow_id for fit in found.fits] == ["run-own"]
    assert [dropped.workflow_ids for dropped in found.other_data] == [("run-other",)]
