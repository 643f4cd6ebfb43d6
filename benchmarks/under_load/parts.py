"""What is measured: each part on a service and a home of its own."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from under_load.caller import Answer, Answers, at_rate, one_after_the_other
from under_load.memory import growth
from under_load.model import CHANNELS, prepare
from under_load.page import Figure, quantile
from under_load.runs import ask, start, start_fit, until_sampling, watch_all
from under_load.service import Service, busy_s, environment_of, serving

from mmm_workflows.config import Settings

EACH: Final = 10
CALLERS: Final = 4
QUIET_S: Final = 20.0
MIXED_WATCHERS: Final = 10
RUNS_OF_A_BRAND: Final = 50


@asynccontextmanager
async def _service() -> AsyncIterator[tuple[Service, str]]:
    """A service whose records hold a run with a model of 1,000 draws and 5 channels; its id."""
    with TemporaryDirectory() as scratch:
        home = Path(scratch)
        cache = environment_of(home)["MMM_CACHE"]
        done = await prepare(Settings(_env_file=None, mmm_home=home, mmm_cache=Path(cache)))
        async with serving(home) as service:
            yield service, done


async def measured(
    what: str, service: Service, work: Callable[[], Awaitable[tuple[list[Figure], int]]]
) -> list[Figure]:
    """The figures of some work, with what server, client and others took meanwhile.

    The work says how many requests it made; with none, no CPU per request is given.
    """
    began, busy = time.monotonic(), busy_s()
    server, client = service.cpu_s, time.process_time()
    children = service.children_cpu_s
    figures, requests = await work()
    wall = time.monotonic() - began
    server, client = service.cpu_s - server, time.process_time() - client
    others = busy_s() - busy - server - client - (service.children_cpu_s - children)
    if requests:
        figures.append(Figure(f"{what}: CPU of the server", 1000 * server / requests, "ms each"))
        figures.append(Figure(f"{what}: CPU of the client", 1000 * client / requests, "ms each"))
    return [
        *figures,
        Figure(f"{what}: CPU of the server", 100 * server / wall, "% of a core"),
        Figure(f"{what}: CPU of the client", 100 * client / wall, "% of a core"),
        Figure(f"{what}: CPU of others", 100 * others / wall, "% of a core"),
        Figure(f"{what}: load of the machine at its end", os.getloadavg()[0]),
    ]


def _said(what: str, answers: Answers, *, p95_ms: float | None) -> list[Figure]:
    took = answers.took_ms
    refused = f" (the first: {answers.first_failure[:120]})" if answers.failed else ""
    return [
        Figure(f"{what}: answers", float(len(took))),
        Figure(f"{what}: median", quantile(took, 0.5), "ms"),
        Figure(f"{what}: p95", quantile(took, 0.95), "ms", at_most=p95_ms),
        Figure(f"{what}: p99", quantile(took, 0.99), "ms"),
        Figure(f"{what}: not answered with 200{refused}", float(answers.failed), at_most=0),
    ]


async def watchers(arguments: Namespace) -> list[Figure]:
    """Many watchers on one run while its model is fitted; each gets each event once, in order."""
    async with _service() as (service, _):

        async def work() -> tuple[list[Figure], int]:
            run = await start_fit(service)
            logs = await watch_all(service, run, arguments.watchers)
            events = [e["seq"] for e in (await ask(service, f"/workflow/{run}/events"))["events"]]
            ended = (await ask(service, f"/workflow/{run}"))["status"]
            if ended != "succeeded":
                raise SystemExit(f"the run that was watched has {ended}")
            whole = sum(seen.seqs == events and seen.code == 1000 for seen in logs)
            late = [ms for seen in logs for ms in seen.late_ms]
            what = f"{arguments.watchers} watchers of one run with its fit, {len(events)} events"
            return [
                Figure(f"{what}: watchers that got each once, in order", float(whole),
                       at_least=arguments.watchers),
                Figure(f"{what}: from making to arrival, median", statistics.median(late), "ms"),
                Figure(f"{what}: from making to arrival, p95", quantile(late, 0.95), "ms",
                       at_most=200),
                Figure(f"{what}: from making to arrival, worst", max(late), "ms"),
            ], 0  # fmt: skip

        return await measured("watchers", service, work)


async def workflow(arguments: Namespace) -> list[Figure]:
    """GET /workflow of a finished and of a running run, without a fit and beside one."""
    async with _service() as (service, done):

        async def at(what: str, ids: list[str], while_: Callable[[], bool]) -> list[Figure]:
            requests = [service.caller.get(f"/workflow/{name}") for name in ids]

            async def work() -> tuple[list[Figure], int]:
                def one(number: int, due: float) -> Awaitable[Answer]:
                    return service.caller.ask(requests[number % len(requests)], due=due)

                answers = await at_rate(arguments.rate, while_, one)
                # The bound is asked for beside a fit; without one it says what the fit costs.
                bound = 25 if len(ids) > 1 else None
                return _said(what, answers, p95_ms=bound), len(answers.took_ms)

            return await measured(what, service, work)

        until = time.monotonic() + QUIET_S
        name = f"GET /workflow at {arguments.rate:g} a second"
        figures = await at(f"{name}, no fit", [done], lambda: time.monotonic() < until)
        running = await start_fit(service, depth="standard")
        await until_sampling(service, running)
        fit = asyncio.create_task(watch_all(service, running, 1))
        figures += await at(f"{name} beside a fit", [done, running], lambda: not fit.done())
        await fit
        return figures


async def scenario(arguments: Namespace) -> list[Figure]:
    """Scenarios as fast as they come, and at the rate that is asked for; budgets beside them."""
    async with _service() as (service, done):
        plans = [
            service.caller.post(
                f"/models/{done}/scenario",
                {"changes": [{"channel": CHANNELS[n % len(CHANNELS)], "kind": "multiply",
                              "amount": 0.5 + n / 1000}]},
            )
            for n in range(1000)
        ]  # fmt: skip
        budgets = [
            service.caller.post(f"/models/{done}/optimize", {"total": 550e3 + 100 * n})
            for n in range(1000)
        ]
        size = "1,000 draws, 5 channels"
        return [
            *await _as_fast(service, f"scenario calls, {size}", plans, arguments.seconds, 100),
            *await _at_rate(service, f"scenario calls at 100 a second, {size}", plans,
                            arguments.seconds),
            *await _as_fast(service, f"optimize calls, {size}", budgets, arguments.seconds, None),
        ]  # fmt: skip


async def _as_fast(
    service: Service, what: str, requests: list[bytes], seconds: float, at_least: float | None
) -> list[Figure]:
    async def work() -> tuple[list[Figure], int]:
        began = time.monotonic()
        answers = await one_after_the_other(
            CALLERS,
            lambda: time.monotonic() < began + seconds,
            lambda number: service.caller.ask(requests[number % len(requests)]),
        )
        rate = len(answers.took_ms) / (time.monotonic() - began)
        callers = f"{what}, {CALLERS} callers"
        return [
            Figure(f"{callers}: calls", rate, "a second", at_least=at_least),
            *_said(callers, answers, p95_ms=None),
        ], len(answers.took_ms)

    await service.caller.ask(requests[0])
    return await measured(what, service, work)


async def _at_rate(
    service: Service, what: str, requests: list[bytes], seconds: float
) -> list[Figure]:
    async def work() -> tuple[list[Figure], int]:
        until = time.monotonic() + seconds

        def one(number: int, due: float) -> Awaitable[Answer]:
            return service.caller.ask(requests[number % len(requests)], due=due)

        answers = await at_rate(100, lambda: time.monotonic() < until, one)
        return _said(what, answers, p95_ms=None), len(answers.took_ms)

    return await measured(what, service, work)


async def memory(arguments: Namespace) -> list[Figure]:
    """Memory of the server over a while of starts, watchers, questions, scenarios and deletions."""
    async with _service() as (service, done):
        until = time.monotonic() + 60 * arguments.minutes
        question = service.caller.get(f"/workflow/{done}")
        plan = service.caller.post(
            f"/models/{done}/scenario", {"question": "What if we increase TV spend by 20%?"}
        )
        samples: list[tuple[float, float]] = []
        others = Answers()
        runs = 0

        async def sample() -> None:
            while time.monotonic() < until:
                samples.append((time.monotonic() / 60, service.resident_mb))
                await asyncio.sleep(1)

        async def work() -> None:
            nonlocal runs
            while time.monotonic() < until:
                brand, is_new = f"brand-{runs // RUNS_OF_A_BRAND}", runs % RUNS_OF_A_BRAND == 0
                if runs and is_new:
                    # What is stored is to stay as much as it is, or memory has to grow.
                    last = f"brand-{runs // RUNS_OF_A_BRAND - 1}"
                    others.note(await service.caller.ask(service.caller.delete(f"/project/{last}")))
                run = await start(
                    service, "research", query="Build MMM for beverage brand", project=brand
                )
                await watch_all(service, run, MIXED_WATCHERS)
                others.note(await service.caller.ask(service.caller.get("/metrics")))
                runs += 1
                await asyncio.sleep(1)

        async def asking(rate: float, request: bytes) -> Answers:
            return await at_rate(
                rate,
                lambda: time.monotonic() < until,
                lambda _number, due: service.caller.ask(request, due=due),
            )

        async def mixed() -> tuple[list[Figure], int]:
            told, planned, *_ = await asyncio.gather(
                asking(arguments.rate / 4, question), asking(EACH, plan), work(), sample()
            )
            what = (
                f"{arguments.minutes:g} minutes of mixed load: {runs} runs with "
                f"{MIXED_WATCHERS} watchers each in projects of {RUNS_OF_A_BRAND}, each deleted "
                f"when the next begins, {len(told.took_ms)} questions, {len(planned.took_ms)} "
                "scenarios"
            )
            failed = [
                (kind, a)
                for kind, a in (("question", told), ("scenario", planned), ("other", others))
                if a.failed
            ]
            first = "".join(
                f"; first {kind} of {a.failed}: {a.first_failure[:120]}" for kind, a in failed
            )
            return [
                Figure(
                    f"{what}; not answered with 200{first}",
                    float(sum(a.failed for _, a in failed)),
                    at_most=0,
                ),
                *growth(samples),
            ], 0

        return await measured("mixed load", service, mixed)


PARTS: Final[dict[str, Callable[[Namespace], Awaitable[list[Figure]]]]] = {
    "watchers": watchers,
    "workflow": workflow,
    "scenario": scenario,
    "memory": memory,
}
