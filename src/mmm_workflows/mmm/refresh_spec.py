"""How the choices of two models differ, and the choices of one on the data of another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydantic import JsonValue

from mmm_workflows.mmm.dataset import Dataset
from mmm_workflows.mmm.refresh_values import SpecChange
from mmm_workflows.mmm.spec import ControlSpec, ModelSpec
from mmm_workflows.mmm.spec_builder import apply_transform
from mmm_workflows.mmm.spec_notes import Notes
from mmm_workflows.mmm.spec_priors import MediaForm, channel_specs

# What is computed from the data, and the margin, which no posterior knows of.
BOUND: Final = frozenset({"schema_version", "start", "end", "margin"})
BOUND_PER_VARIABLE: Final = frozenset({"name", "effect_scale", "centre", "scale"})
PER_VARIABLE: Final = ("channels", "controls")
SATURATION: Final = ("saturation",)
ABSENT: Final = "-"

type Field = tuple[str, ...]


def compare_specs(before: ModelSpec, after: ModelSpec) -> tuple[SpecChange, ...]:
    """The choices that differ, by name; values that follow from the data are not among them."""
    old, new = dict(_choices(before)), dict(_choices(after))
    return tuple(
        SpecChange(
            field=".".join(field), before=old.get(field, ABSENT), after=new.get(field, ABSENT)
        )
        for field in dict.fromkeys((*old, *new))
        if old.get(field) != new.get(field) and _is_own(field, old, new)
    )


def on_data(spec: ModelSpec, dataset: Dataset) -> ModelSpec:
    """The same choices on other data: its window, and the scales that follow from it.

    Every variable of the spec must be in the data, and every channel must have spend.
    """
    frame = dataset.national()
    names = [channel.name for channel in spec.channels]
    by_name = {variable.name: variable for variable in dataset.sidecar.variables}
    form = MediaForm(
        frame=frame,
        target=by_name[spec.target],
        channels=tuple(by_name[name] for name in names),
        known=tuple(names),
        frequency=spec.frequency,
        adstock=spec.adstock,
        saturation=spec.saturation,
        l_max=spec.l_max,
    )
    ruled = channel_specs(form, (), Notes())
    return spec.model_copy(
        update={
            "start": frame.index[0].date(),
            "end": frame.index[-1].date(),
            "channels": tuple(
                channel.model_copy(update={"effect_scale": own.effect_scale})
                for channel, own in zip(spec.channels, ruled, strict=True)
            ),
            "controls": tuple(_standardised(control, dataset) for control in spec.controls),
        }
    )


def _standardised(control: ControlSpec, dataset: Dataset) -> ControlSpec:
    values = apply_transform(dataset.national()[control.name], control.transform)
    scale = float(values.std())
    return control.model_copy(
        update={"centre": float(values.mean()), "scale": scale or control.scale}
    )


def _is_own(field: Field, old: dict[Field, str], new: dict[Field, str]) -> bool:
    """Whether a choice says more than another one that differs."""
    if field[-1] == "lam_prior" and old[SATURATION] != new[SATURATION]:
        return False
    # Of a variable that one model lacks it is enough to say that.
    return field[:2] == field or (field[:2] in old and field[:2] in new)


def _choices(spec: ModelSpec) -> Iterator[tuple[Field, str]]:
    stored = spec.model_dump(mode="json")
    # What a reader sees first is what holds for all variables.
    ordered = sorted(stored.items(), key=lambda item: item[0] in PER_VARIABLE)
    for field, value in ordered:
        if field in PER_VARIABLE:
            for variable in value:
                yield (field, variable["name"]), "in the model"
                for part, said in variable.items():
                    if part not in BOUND_PER_VARIABLE:
                        yield (field, variable["name"], part), _said(_own(said))
        elif field == "sampler":
            yield from (((field, part), _said(said)) for part, said in value.items())
        elif field not in BOUND:
            yield (field,), _said(value)


def _own(value: JsonValue) -> JsonValue:
    """A choice without what the data made of it: an elasticity's return follows its sums."""
    if isinstance(value, dict) and value.get("quantity") == "elasticity":
        return {key: part for key, part in value.items() if key != "median"}
    return value


def _said(value: JsonValue) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_said(part)}" for key, part in value.items())
    if isinstance(value, list):
        return " and ".join(_said(part) for part in value) or "none"
    return "none" if value is None else str(value)
