"""Plans and budgets answered at once, on the draws of models that are kept open."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Annotated, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from mmm_workflows.errors import QueryError
from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.model_files import ModelFolder, open_model
from mmm_workflows.mmm.optimize import Bound, Optimization, optimize
from mmm_workflows.mmm.query import bounds_of, interpret
from mmm_workflows.mmm.questions import ChannelLimit, Interpretation, QueryKind
from mmm_workflows.mmm.results import FitVerdict, FloatArray, Window
from mmm_workflows.mmm.scenario import (
    Change,
    ChangeKind,
    ScenarioResult,
    brought_by,
    run_scenario,
)
from mmm_workflows.mmm.whatif_advice import FAILED_FIT
from mmm_workflows.mmm.windows import (
    DEFAULT_PERIODS,
    Reference,
    make_reference,
    next_periods,
)

# A model of 1,000 draws and 5 channels takes about a megabyte once it is open.
MODELS_OPEN: Final = 16
# A window of such a model takes 40 kB.
WINDOWS_KEPT: Final = 32
THREADS: Final = 2
# Beyond every budget there is, and far from where a float overflows.
MOST: Final = 1e15
MAX_CHANGES: Final = 200


def _text(value: object) -> object:
    if not isinstance(value, str | date):
        raise ValueError("a date is written as YYYY-MM-DD")
    return value


type Amount = Annotated[float, Field(ge=-MOST, le=MOST, allow_inf_nan=False, strict=True)]
type Money = Annotated[float, Field(ge=0, le=MOST, allow_inf_nan=False, strict=True)]
# A date is a text: numbers would be taken for seconds since 1970.
type Day = Annotated[date, BeforeValidator(_text)]
type Words = Annotated[str, Field(min_length=1, max_length=1000)]
type ChannelName = Annotated[str, Field(min_length=1, max_length=200)]


class _Asked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WindowAsked(_Asked):
    """Periods whose start lies in it; ``end`` is the start of its last period."""

    start: Day
    end: Day

    def meant(self) -> Window:
        """The window itself."""
        return Window(start=self.start, end=self.end)


class ChangeAsked(_Asked):
    """One change: ``amount`` is a factor (multiply) or money in the window (add, set)."""

    channel: ChannelName
    kind: ChangeKind
    amount: Amount


class ScenarioAsked(_Asked):
    """A plan: either ``changes`` in a ``window``, or a ``question`` in plain words.

    Without a window it is the next quarter's worth of periods, as What-If takes it.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"changes": [{"channel": "TV_Spend", "kind": "multiply", "amount": 1.2}]},
                {"question": "What if we increase TV spend by 20%?"},
            ]
        }
    )

    changes: Annotated[tuple[ChangeAsked, ...], Field(max_length=MAX_CHANGES)] | None = None
    window: WindowAsked | None = None
    question: Words | None = None
    name: Annotated[str, Field(min_length=1, max_length=200)] = "Your scenario"

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.changes is None) == (self.question is None):
            raise ValueError("give either `changes` or a `question`, and not both")
        if self.question is not None and self.window is not None:
            raise ValueError("the `question` says its window itself: leave `window` out")
        return self


class LimitAsked(_Asked):
    """The least and the most that a channel may get in the window; None: the default."""

    low: Money | None = None
    high: Money | None = None


class OptimizeAsked(_Asked):
    """A budget: ``total`` within ``bounds``, or a ``question`` in plain words.

    Without a total it is the reference's. Channels without bounds keep the default ones: half to
    one and a half times the reference, or within ``max_change_0_1`` of it.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"total": 600000, "bounds": {"TV_Spend": {"low": 100000}}},
                {"question": "How should we allocate 600k?"},
            ]
        }
    )

    total: Money | None = None
    bounds: Annotated[dict[ChannelName, LimitAsked], Field(max_length=MAX_CHANGES)] = {}
    max_change_0_1: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)] | None = (
        None
    )
    window: WindowAsked | None = None
    question: Words | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        typed = self.total, self.window, self.max_change_0_1
        if self.question is not None and (self.bounds or any(t is not None for t in typed)):
            raise ValueError("the `question` says all of it: leave the other fields out")
        return self


class ScenarioAnswer(_Asked):
    """What comes of a plan, by which model; ``echo`` is how a question in words was read."""

    model_id: str
    fit_verdict: FitVerdict
    cautions: tuple[str, ...]
    echo: str | None
    scenario: ScenarioResult


class OptimizeAnswer(_Asked):
    """The best allocation, by which model; ``echo`` is how a question in words was read."""

    model_id: str
    fit_verdict: FitVerdict
    cautions: tuple[str, ...]
    echo: str | None
    optimization: Optimization


@dataclass(frozen=True)
class _Ground:
    """What plans of one window are compared with, and what each channel brings in it, per draw."""

    reference: Reference
    usual: FloatArray


@dataclass(frozen=True)
class _Open:
    folder: ModelFolder
    lock: Lock = field(default_factory=Lock)
    grounds: OrderedDict[Window, _Ground] = field(default_factory=OrderedDict)

    @cached_property
    def draws(self) -> Draws:
        return self.folder.draws()

    @cached_property
    def verdict(self) -> FitVerdict:
        return self.folder.results().fit_verdict

    def ground(self, window: Window) -> _Ground:
        """The same for everybody who asks about this window, so computed once."""
        with self.lock:
            if window not in self.grounds:
                reference = make_reference(self.draws, window)
                self.grounds[window] = _Ground(reference, brought_by(self.draws, reference))
            self.grounds.move_to_end(window)
            while len(self.grounds) > WINDOWS_KEPT:
                self.grounds.popitem(last=False)
            return self.grounds[window]

    @property
    def cautions(self) -> tuple[str, ...]:
        return (FAILED_FIT,) if self.verdict is FitVerdict.FAIL else ()


class Instant:
    """Answers within a few milliseconds in a few threads; closing it waits for those.

    Models stay open by the hash of their manifest, which holds the hash of every other file; the
    one that was asked longest ago makes room.
    """

    def __init__(self, *, threads: int = THREADS, models: int = MODELS_OPEN) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="instant")
        self._most = models
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._turn = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def models_open(self) -> int:
        """How many models are open."""
        return len(self._open)

    async def scenario(self, model: Path, asked: ScenarioAsked) -> ScenarioAnswer:
        """A plan against its reference.

        Raises:
            QueryError: It cannot be carried out (``query_invalid``), or its words cannot be read
                in full (``query_unclear``).
            ModelFileError: The model is missing or damaged.
        """
        return await self._run(self._scenario, model, asked)

    async def optimize(self, model: Path, asked: OptimizeAsked) -> OptimizeAnswer:
        """The best allocation of a total.

        Raises:
            QueryError: As for ``scenario``, or it lies out of reach (``query_out_of_reach``).
            ModelFileError: The model is missing or damaged.
        """
        return await self._run(self._optimize, model, asked)

    async def _run[A, R](self, work: Callable[[Path, A], R], model: Path, asked: A) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, model, asked)

    def _scenario(self, model: Path, asked: ScenarioAsked) -> ScenarioAnswer:
        opened = self._opened(model)
        draws, echo = opened.draws, None
        if asked.question is None:
            window = asked.window.meant() if asked.window else _next(draws)
            changes = tuple(
                Change(channel=c.channel, kind=c.kind, amount=c.amount) for c in asked.changes or ()
            )
        else:
            read = _read(asked.question, draws, QueryKind.SIMULATE)
            window, changes, echo = _window_of(read), read.changes, read.echo
        ground = opened.ground(window)
        found = run_scenario(draws, ground.reference, changes, name=asked.name, usual=ground.usual)
        return ScenarioAnswer(
            model_id=opened.folder.sha256,
            fit_verdict=opened.verdict,
            cautions=opened.cautions,
            echo=echo,
            scenario=found,
        )

    def _optimize(self, model: Path, asked: OptimizeAsked) -> OptimizeAnswer:
        opened = self._opened(model)
        draws = opened.draws
        read = (
            _typed(asked, draws)
            if asked.question is None
            else _read(asked.question, draws, QueryKind.OPTIMIZE)
        )
        ground = opened.ground(_window_of(read))
        reference = ground.reference
        total = float(reference.totals.sum()) if read.total is None else read.total
        bounds: dict[str, Bound] = bounds_of(draws, reference, read, total)
        return OptimizeAnswer(
            model_id=opened.folder.sha256,
            fit_verdict=opened.verdict,
            cautions=opened.cautions,
            echo=read.echo or None,
            optimization=optimize(draws, reference, total, bounds, usual=ground.usual),
        )

    def _opened(self, path: Path) -> _Open:
        folder = open_model(path)
        key = folder.sha256
        with self._turn:
            opened = self._open.setdefault(key, _Open(folder))
            self._open.move_to_end(key)
            while len(self._open) > self._most:
                self._open.popitem(last=False)
        with opened.lock:
            # Read by one of those who ask at once; the others wait for it.
            assert opened.draws is not None and opened.verdict
        return opened


def _next(draws: Draws) -> Window:
    return next_periods(draws, DEFAULT_PERIODS[draws.frequency])


def _window_of(read: Interpretation) -> Window:
    assert read.window is not None
    return read.window


def _typed(asked: OptimizeAsked, draws: Draws) -> Interpretation:
    unknown = [name for name in asked.bounds if name not in draws.channels]
    if unknown:
        raise QueryError(
            f"The model has no channel {unknown[0]!r}. It has {', '.join(draws.channels)}."
        )
    limits = [
        ChannelLimit(channel=name, low=limit.low, high=limit.high)
        for name, limit in asked.bounds.items()
    ]
    return Interpretation(
        kind=QueryKind.OPTIMIZE,
        echo="",
        window=asked.window.meant() if asked.window else _next(draws),
        total=asked.total,
        limits=tuple(limits),
        max_change_0_1=asked.max_change_0_1,
    )


def _read(question: str, draws: Draws, wanted: QueryKind) -> Interpretation:
    read = interpret(question, draws)
    if read.kind is QueryKind.CLARIFY:
        raise QueryError(" ".join(read.questions), code="query_unclear")
    if read.kind is not wanted:
        there = "optimize" if read.kind is QueryKind.OPTIMIZE else "scenario"
        raise QueryError(
            f"The question asks for something else: {read.echo} Send it to .../{there}.",
            code="query_invalid",
        )
    return read
