"""Charts of the data in Vega-Lite; who looks at them is given pictures (see tools.pictures)."""

from __future__ import annotations

from typing import Final

import altair as alt
import pandas as pd

from mmm_workflows.mmm.dataset import Dataset, Described

WIDTH: Final = 720
HEIGHT: Final = 260
PALETTE: Final = ("#3b6ea5", "#d98b3a", "#5b9a68", "#a85a7a", "#7d6cb0", "#8a8a5c", "#4aa3a2")
# A column's own name as a field would be parsed: dots, brackets and quotes have a meaning there.
TARGET: Final = "__target"


class Chart(Described):
    """A chart as a specification."""

    slug: str
    title: str
    vega_lite: str


def charts_of(dataset: Dataset) -> tuple[Chart, ...]:
    """The target, the spend, how they move together, and each channel against the target."""
    frame = dataset.national()
    target = dataset.target
    channels = [v.name for v in dataset.channels]
    money = dataset.channels[0].unit
    spend = frame[channels].reset_index().melt("Period", var_name="channel", value_name="spend")
    return (
        _finished("target", f"{target.name} over time", _line(frame, target.name, target.unit)),
        _finished("spend", f"Spend by channel, {money}", _stacked(spend, money)),
        _finished("spend-share", "Share of the spend", _shares(spend, money)),
        _finished(
            "correlation",
            "How the series move together (correlation)",
            _heat(frame[[target.name, *channels, *(v.name for v in dataset.controls)]]),
        ),
        _finished(
            "channels-and-target",
            f"{target.name} against each channel's spend, one point per period",
            _scatter(frame, target.name, channels, money),
        ),
    )


def _line(frame: pd.DataFrame, name: str, unit: str) -> alt.Chart:
    data = frame[[name]].set_axis([TARGET], axis=1).reset_index()
    drawn: alt.Chart = _base(data).mark_line(color=PALETTE[0], strokeWidth=1.5).encode(
        x=alt.X("Period:T", title=None),
        y=alt.Y(f"{TARGET}:Q", title=unit, scale=alt.Scale(zero=False)),
    )  # fmt: skip
    return drawn


def _stacked(spend: pd.DataFrame, money: str) -> alt.Chart:
    drawn: alt.Chart = _base(spend).mark_area(opacity=0.85).encode(
        x=alt.X("Period:T", title=None),
        y=alt.Y("spend:Q", title=money),
        color=_by_channel(),
    )  # fmt: skip
    return drawn


def _shares(spend: pd.DataFrame, money: str) -> alt.Chart:
    totals = spend.groupby("channel")[["spend"]].sum().reset_index()
    drawn: alt.Chart = _base(totals).mark_bar(color=PALETTE[0]).encode(
        x=alt.X("spend:Q", title=money), y=alt.Y("channel:N", sort="-x", title=None)
    )  # fmt: skip
    return drawn


def _heat(frame: pd.DataFrame) -> alt.TopLevelMixin:
    matrix = frame.corr().rename_axis("one").reset_index()
    pairs = matrix.melt("one", var_name="other", value_name="correlation").fillna(0.0)
    order = list(frame.columns)
    base = alt.Chart(pairs, width=alt.Step(64), height=alt.Step(26)).encode(
        x=alt.X("other:N", sort=order, title=None), y=alt.Y("one:N", sort=order, title=None)
    )
    scale = alt.Scale(domain=[-1, 0, 1], range=["#b4552d", "#ffffff", "#3b6ea5"])
    tiles: alt.Chart = base.mark_rect().encode(
        color=alt.Color("correlation:Q", scale=scale, title=None)
    )
    figures: alt.Chart = base.mark_text(fontSize=10).encode(
        text=alt.Text("correlation:Q", format=".2f")
    )
    return tiles + figures


def _scatter(frame: pd.DataFrame, target: str, channels: list[str], money: str) -> alt.FacetChart:
    values = frame[[target, *channels]].set_axis([TARGET, *channels], axis=1)
    data = values.melt(TARGET, var_name="channel", value_name="spend")
    points = alt.Chart(data, width=200, height=150).mark_circle(size=14, opacity=0.5).encode(
        x=alt.X("spend:Q", title=money),
        y=alt.Y(f"{TARGET}:Q", title=target, scale=alt.Scale(zero=False)),
        color=alt.value(PALETTE[0]),
    )  # fmt: skip
    drawn: alt.FacetChart = points.facet(
        facet=alt.Facet("channel:N", title=None), columns=3
    ).resolve_scale(x="independent")
    return drawn


def _base(data: pd.DataFrame) -> alt.Chart:
    return alt.Chart(data, width=WIDTH, height=HEIGHT)


def _by_channel() -> alt.Color:
    return alt.Color("channel:N", scale=alt.Scale(range=list(PALETTE)), title=None)


def _finished(slug: str, title: str, chart: alt.TopLevelMixin) -> Chart:
    styled = chart.properties(title=alt.TitleParams(title, anchor="start", fontSize=14))
    styled = styled.configure_view(stroke=None).configure_axis(
        gridColor="#eeeeee", domainColor="#bbbbbb", tickColor="#bbbbbb"
    )
    return Chart(slug=slug, title=title, vega_lite=styled.to_json(indent=None))
