"""Links of the chain that are read from kept files: model folders, and MFF tables with sidecars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue

from mmm_workflows.errors import DatasetError, ModelFileError
from mmm_workflows.mmm.chain import FileState, Link, LinkKind, state_of
from mmm_workflows.mmm.claims import Claim
from mmm_workflows.mmm.dataset import CleaningStep, Sidecar, Variable, read_sidecar
from mmm_workflows.mmm.model_files import DRAWS, SPEC, ModelFolder, open_model
from mmm_workflows.mmm.spec import ChannelSpec, ModelSpec
from mmm_workflows.records import Decision


def model_link(path: str, channel: str | None, claims: Mapping[str, Claim]) -> Link:
    """A model folder with its draws and its spec; what its maker adds comes from its run.

    Args:
        path: The folder.
        channel: The one whose priors are told; all are where it is no channel of the model.
        claims: What claims say, by id; one that is cited and not there ends the chain.
    """
    link = Link(kind=LinkKind.MODEL, name=Path(path).name, path=path)
    try:
        folder = open_model(Path(path))
        spec, results = folder.spec(), folder.results()
    except ModelFileError as error:
        return link.model_copy(update={"missing": error.message})
    manifest, diagnostics = folder.manifest, results.diagnostics
    return link.model_copy(
        update={
            "sha256": folder.sha256,
            "says": (
                f"explains {spec.target} from {spec.start} to {spec.end}; depth "
                f"{manifest.depth}, seed {manifest.seed}, fit verdict {results.fit_verdict}"
            ),
            "facts": {"mff_sha256": manifest.mff_sha256, "seed": manifest.seed},
            "rests_on": (
                _file(folder, DRAWS, LinkKind.DRAWS).model_copy(
                    update={
                        "says": f"{diagnostics.draws} draws of {diagnostics.chains} chains, "
                        f"seed {manifest.seed}",
                        "facts": {
                            "draws": diagnostics.draws,
                            "chains": diagnostics.chains,
                            "seed": manifest.seed,
                            "rhat_max": diagnostics.rhat_max,
                        },
                    }
                ),
                _spec(folder, spec, channel, claims),
            ),
        }
    )


def cited_by(path: str) -> frozenset[str]:
    """The ids of the claims that the priors of a model rest on; none where it cannot be read."""
    try:
        spec = open_model(Path(path)).spec()
    except ModelFileError:
        return frozenset()
    return frozenset(claim for channel in spec.channels for claim in _cited(channel))


def _spec(
    folder: ModelFolder, spec: ModelSpec, channel: str | None, claims: Mapping[str, Claim]
) -> Link:
    told = [c for c in spec.channels if c.name == channel] or spec.channels
    return _file(folder, SPEC, LinkKind.SPEC).model_copy(
        update={
            "says": (
                f"digest {spec.digest()}; {spec.adstock} carry-over over {spec.l_max} periods, "
                f"{spec.saturation} saturation, {spec.likelihood} likelihood"
            ),
            "facts": spec.model_dump(mode="json"),
            "rests_on": tuple(_priors(c, claims) for c in told),
        }
    )


def _priors(channel: ChannelSpec, claims: Mapping[str, Claim]) -> Link:
    effect = f"effect HalfNormal({channel.effect_scale:.4g}) on the scaled target"
    if channel.return_prior is not None:
        prior = channel.return_prior
        effect = f"return LogNormal with median {prior.median:.4g} and spread {prior.spread:.4g}"
    alpha, lam = channel.alpha_prior, channel.lam_prior
    return Link(
        kind=LinkKind.PRIORS,
        name=channel.name,
        says=f"{effect}; retention Beta{alpha}; saturation Gamma{lam}",
        facts=channel.model_dump(mode="json"),
        rests_on=tuple(
            claim_link(claims[claim]) if claim in claims else _lost(claim)
            for claim in dict.fromkeys(_cited(channel))
        ),
    )


def _cited(channel: ChannelSpec) -> tuple[str, ...]:
    of_return = channel.return_prior.claims if channel.return_prior else ()
    return (*of_return, *channel.carry_over_claims)


def claim_link(claim: Claim) -> Link:
    """A claim in its page's own words, and the page."""
    page = Link(
        kind=LinkKind.PAGE,
        name=claim.title,
        says=f"{claim.url}, read on {claim.fetched_at:%Y-%m-%d}, {claim.tier}",
        sha256=claim.page_sha256,
        facts={"url": claim.url, "fetched_at": claim.fetched_at.isoformat()},
    )
    return Link(
        kind=LinkKind.CLAIM,
        name=claim.claim_id,
        says=f"{claim.statement} “{claim.quote}”",
        facts=claim.model_dump(mode="json"),
        rests_on=(page,),
    )


def _lost(claim: str) -> Link:
    return Link(
        kind=LinkKind.CLAIM,
        name=claim,
        missing="no Research run of this project that is left read it: it was deleted, the "
        "plan was written elsewhere, or another version stored it in a form not known here.",
    )


def decision_link(decision: Decision) -> Link:
    """What was chosen, why, and by whom."""
    return Link(
        kind=LinkKind.DECISION,
        name=decision.question,
        says=f"{decision.choice}, by {decision.who} on {decision.at:%Y-%m-%d}: {decision.reason}",
        facts=decision.model_dump(mode="json"),
    )


def dataset_link(path: str, variables: Sequence[str], sources: Sequence[str]) -> Link:
    """An MFF with the series asked for, their cleaning, its decisions and its source files.

    Args:
        path: The table.
        variables: Those that are told one by one; all where none is named.
        sources: Where its source files lay when they were read, in the words of that run.
    """
    link = Link(kind=LinkKind.DATASET, name=Path(path).name, path=path)
    try:
        sidecar = read_sidecar(Path(path))
    except DatasetError as error:
        return link.model_copy(update={"missing": error.message})
    told = [v for v in sidecar.variables if not variables or v.name in variables]
    rest = [v.name for v in sidecar.variables if v not in told]
    names = {v.name for v in told}
    steps = [step for step in sidecar.cleaning if step.variable in names]
    others = len(sidecar.cleaning) - len(steps)
    series = [*(_series(v, steps) for v in told)]
    if rest:
        series.append(
            Link(
                kind=LinkKind.SERIES,
                name=", ".join(rest),
                says=f"the other series of the table, with {others} cleaning steps: name the "
                "table to see them",
            )
        )
    return link.model_copy(
        update={
            "sha256": sidecar.mff_sha256,
            "state": state_of(Path(path), sidecar.mff_sha256),
            "says": f"{sidecar.frequency} MFF of {len(sidecar.variables)} series",
            "rests_on": (
                *series,
                *(decision_link(d) for d in sidecar.decisions),
                *_sources(sidecar, sources),
            ),
        }
    )


def _series(variable: Variable, steps: Sequence[CleaningStep]) -> Link:
    file, _, column = variable.source.partition("#")
    return Link(
        kind=LinkKind.SERIES,
        name=variable.name,
        says=f"{variable.role} in {variable.unit}: column {column or variable.name!r} of {file}",
        facts=variable.model_dump(mode="json"),
        rests_on=tuple(_cleaning(step) for step in steps if step.variable == variable.name),
    )


def _cleaning(step: CleaningStep) -> Link:
    cells: list[JsonValue] = [
        {"where": where, "typed": typed, "value": value} for where, typed, value in step.cells
    ]
    return Link(
        kind=LinkKind.CLEANING,
        name=step.kind,
        says=f"{len(cells)} cells of {step.variable}: {step.reason}",
        facts={"variable": step.variable, "reason": step.reason, "cells": cells},
    )


def _sources(sidecar: Sidecar, paths: Sequence[str]) -> list[Link]:
    found = []
    for source in sidecar.sources:
        link = Link(kind=LinkKind.SOURCE, name=source.name, sha256=source.sha256)
        states = {p: state_of(Path(p), source.sha256) for p in paths if Path(p).name == source.name}
        path = next((p for p, s in states.items() if s is FileState.SAME), next(iter(states), None))
        if path is None:
            where = "where it lay is not known: the run that read it is not there."
            found.append(link.model_copy(update={"missing": where}))
        else:
            found.append(link.model_copy(update={"path": path, "state": states[path]}))
    return found


def actuals_link(path: str, sha256: str) -> Link:
    """The file that told what came, as it was read."""
    return Link(
        kind=LinkKind.SOURCE,
        name=Path(path).name,
        says="what came, as Track read it",
        path=path,
        sha256=sha256,
        state=state_of(Path(path), sha256),
    )


def _file(folder: ModelFolder, name: str, kind: LinkKind) -> Link:
    path, sha256 = folder.path / name, folder.manifest.sha256[name]
    return Link(
        kind=kind, name=name, path=str(path), sha256=sha256, state=state_of(path, sha256)
    )  # fmt: skip
