"""Fits on the workers of a Dask cluster, each in the same child process as on one machine.

Cancelling a Dask future does not stop what it runs. So the task is a thin parent: it starts the
fit's child, tells its progress as Dask events, and ends the child when the task is not wanted any
more, because its caller cancelled it or is gone.

Workers see the data and publish the model in folders that they share with the caller, or, where an
exchange is set, get the data from there and lay the model down there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from distributed import Client, KilledWorker, Scheduler, get_worker, rpc
from distributed.client import ClosedClientError, FutureCancelledError
from distributed.core import Status

from mmm_workflows.errors import FitFailed, ServiceUnavailable
from mmm_workflows.mmm.dataset import sidecar_path
from mmm_workflows.mmm.partial_folders import partial_folder
from mmm_workflows.ports import Exchange, FitJob, FitOutcome, FitProgress
from mmm_workflows.tools.compute import EqualFits
from mmm_workflows.tools.dask_meeting import (
    OR_A_STORE,
    PART,
    FindPlace,
    Token,
    refusal_of,
    shared_token,
)
from mmm_workflows.tools.fit_child import FitPlace, fit_into
from mmm_workflows.tools.models import Models

TIMEOUT_S: Final = 10.0
CHECK_S: Final = 2.0
LOOK_EVERY_S: Final = 0.2
# Once more after a worker died: a job that kills its workers would kill all of them.
ATTEMPTS: Final = 2
WANTED: Final = ("executing", "long-running")
DATA: Final = "data"
GOING: Final = (Status.closing, Status.closed, Status.failed)
BEGUN, ENDED = "begun", "ended"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Task:
    """What a worker is told; without ``data`` every path must mean the same on it."""

    job: FitJob
    key: str
    final: Path
    token: Token
    topic: str
    data: str | None


@asynccontextmanager
async def open_dask_compute(
    scheduler: str, models_dir: Path, *, place: FindPlace, exchange: Exchange | None = None
) -> AsyncIterator[DaskCompute]:
    """Compute on the cluster of a scheduler whose workers share folders or a store with us.

    Args:
        scheduler: Its address, as ``tcp://host:8786``.
        models_dir: Model folders are published in ``models_dir/<project>/<key>``, by the workers
            where there is no exchange.
        place: Called on the worker: cache, environment and exchange of its machine.
        exchange: What carries data and models; None: workers have the same folders.

    Raises:
        ServiceUnavailable: The scheduler does not answer, or a worker of now cannot do our fits.
    """
    async with _connected(scheduler) as client, shared_token(models_dir, exchange) as token:
        said = await client.run(refusal_of, token, place, on_error="return")
        for worker, refusal in said.items():
            if refusal is not None:
                raise ServiceUnavailable(f"The Dask worker {worker} cannot fit: {refusal}")
        await _warn_of_more_tries(client)
        yield DaskCompute(client, Models(models_dir, exchange), token, place, exchange)


async def dask_place(scheduler: str) -> str:
    """Where the scheduler is and how many workers it has; for ``doctor``.

    Raises:
        ServiceUnavailable: The scheduler does not answer.
    """
    async with _connected(scheduler) as client:
        workers = client.scheduler_info(n_workers=-1)["workers"]
        return f"Dask at {client.scheduler.address}, {len(workers)} workers"


async def _warn_of_more_tries(client: Client) -> None:
    allowed = await client.run_on_scheduler(_allowed_failures)
    if allowed:
        logger.warning(
            "A fit whose Dask worker dies is sent to up to %d others before its caller hears of it. "
            "Start the scheduler with DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES=0, so that it "
            "is sent to one.",
            allowed,
        )


def _allowed_failures(dask_scheduler: Scheduler) -> int:
    return int(dask_scheduler.allowed_failures)


class DaskCompute:
    """Runs each fit on a worker; one whose worker died is sent to another one, once."""

    def __init__(
        self,
        client: Client,
        models: Models,
        token: Token,
        place: FindPlace,
        exchange: Exchange | None = None,
    ) -> None:
        self._client = client
        self._models = models
        self._fits = EqualFits(models)
        self._token = token
        self._place = place
        self._exchange = exchange and exchange.part(PART)

    async def fit(self, job: FitJob, on_progress: Callable[[FitProgress], None]) -> FitOutcome:
        """Fit, or find the folder of an equal fit; see ``ports.Compute``."""

        async def make(final: Path, key: str) -> None:
            if self._exchange is None:
                return await self._attempts(job, key, final, None, on_progress)
            data = secrets.token_hex(16)
            await asyncio.to_thread(_lay_down, self._exchange, data, job.mff_path)
            try:
                await self._attempts(job, key, final, data, on_progress)
            finally:
                await asyncio.to_thread(self._exchange.remove, data)
            if not await self._models.find(final):  # which brings it
                raise FitFailed(
                    f"A Dask worker says that it laid the model down in {self._exchange.where} "
                    "(ARTIFACTS_URL), and it is not there. Resume the run to fit again."
                )

        return await self._fits.find_or(job, make)

    async def check(self) -> None:
        """See that the scheduler answers and has a worker; see ``ports.Compute``."""
        address = self._client.scheduler.address if self._client.scheduler else "its address"
        if self._client.status not in ("running", "connecting"):
            raise ServiceUnavailable(
                f"The connection to the Dask scheduler at {address} (DASK_SCHEDULER) was lost, so "
                "fits fail. See that the scheduler runs, and start this process again."
            )
        try:
            async with rpc(address, timeout=CHECK_S) as scheduler:
                told = await scheduler.identity(n_workers=1)
        except OSError as error:
            raise ServiceUnavailable(
                f"The Dask scheduler at {address} (DASK_SCHEDULER) does not answer: "
                f"{error or type(error).__name__}. Start it again; fits fail until then."
            ) from error
        if not told["workers"]:
            raise ServiceUnavailable(
                f"The Dask scheduler at {address} (DASK_SCHEDULER) has no worker, so fits wait. "
                f"Start one: dask worker {address}"
            )

    async def _attempts(
        self,
        job: FitJob,
        key: str,
        final: Path,
        data: str | None,
        on_progress: Callable[[FitProgress], None],
    ) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            topic = f"mmm-fit-{key[:16]}-{secrets.token_hex(4)}"
            task = _Task(job, key, final, self._token, topic, data)
            try:
                return await self._run(task, on_progress)
            except KilledWorker as error:
                died = f"the Dask worker {error.last_worker.address} died during the fit"
                if attempt == ATTEMPTS:
                    raise FitFailed(
                        f"{died.capitalize()}, and another one before it. Nothing was "
                        "published; resume the run to fit again. If they were killed for "
                        "memory, use fewer channels or draws.",
                        code="fit_died",
                    ) from error
            logger.warning("%s; it is sent to another one", died)
            on_progress(FitProgress(stage=f"fitting again: {died}"))

    async def _run(self, task: _Task, on_progress: Callable[[FitProgress], None]) -> None:
        parent = _Parent(on_progress)
        self._client.subscribe_topic(task.topic, parent.hear)
        future = self._client.submit(
            _fit_on_worker, task, self._place, key=task.topic, pure=False, retries=0
        )
        try:
            await future.result()
            await parent.until_ended()
        except FutureCancelledError as error:
            raise ServiceUnavailable(
                f"The Dask scheduler lost the fit: {error.reason}. Resume the run when the "
                "scheduler (DASK_SCHEDULER) is there again."
            ) from error
        except asyncio.CancelledError:
            await future.cancel()
            # Until its parent says so, the child may still be there.
            await parent.until_ended()
            raise
        finally:
            # A client that was closed in the meantime hears nothing any more.
            with contextlib.suppress(ClosedClientError):
                self._client.unsubscribe_topic(task.topic)
            future.release()


class _Parent:
    """What the thin parent on a worker tells its caller."""

    def __init__(self, on_progress: Callable[[FitProgress], None]) -> None:
        self._on_progress = on_progress
        self._has_begun = False
        self._has_ended = asyncio.Event()

    def hear(self, event: tuple[float, str]) -> None:
        if event[1] == BEGUN:
            self._has_begun = True
        elif event[1] == ENDED:
            self._has_ended.set()
        else:
            self._on_progress(FitProgress.model_validate_json(event[1]))

    async def until_ended(self) -> None:
        if not self._has_begun:
            return
        try:
            await asyncio.wait_for(self._has_ended.wait(), TIMEOUT_S)
        except TimeoutError:
            logger.warning(
                "the Dask worker of a fit did not say within %s s that it ended", TIMEOUT_S
            )


def _fit_on_worker(task: _Task, find_place: FindPlace) -> None:
    """The thin parent, in a thread of a worker."""
    worker = get_worker()
    refusal = refusal_of(task.token, find_place)
    if refusal is None and task.data is None and not task.job.mff_path.is_file():
        refusal = (
            f"it has no file {task.job.mff_path}. OUTPUT_DIR must be a folder that every worker "
            f"has under the same path, {OR_A_STORE}."
        )
    if refusal is not None:
        raise FitFailed(f"The Dask worker {worker.address} cannot fit: {refusal}")

    def tell(progress: FitProgress) -> None:
        worker.log_event(task.topic, progress.model_dump_json())

    def is_wanted() -> bool:
        known = worker.state.tasks.get(task.topic)
        # A worker that has lost its scheduler closes, and waits half a minute for its threads.
        return worker.status not in GOING and known is not None and known.state in WANTED

    worker.log_event(task.topic, BEGUN)
    try:
        asyncio.run(_while_wanted(task, tell, is_wanted, find_place()))
    finally:
        worker.log_event(task.topic, ENDED)


async def _while_wanted(
    task: _Task,
    tell: Callable[[FitProgress], None],
    is_wanted: Callable[[], bool],
    place: FitPlace,
) -> None:
    fit = asyncio.create_task(_fit(task, tell, place))
    while not (await asyncio.wait({fit}, timeout=LOOK_EVERY_S))[0]:
        if not is_wanted():
            # Once: another one would cut the second short that the child has to end by itself.
            fit.cancel()
            await asyncio.wait({fit})
    if not fit.cancelled():
        fit.result()


async def _fit(task: _Task, tell: Callable[[FitProgress], None], place: FitPlace) -> None:
    if task.data is None or place.exchange is None:
        return await fit_into(task.final, task.job, task.key, tell, place=place)
    jobs = place.exchange.part(PART)
    with partial_folder(place.cache_dir / "fits") as scratch:
        data = await asyncio.to_thread(jobs.bring, task.data, scratch)
        if data is None:
            raise FitFailed(
                f"The data of the fit is no longer in {jobs.where} (ARTIFACTS_URL), so its caller "
                "is gone. Resume the run to fit again."
            )
        job = task.job.model_copy(update={"mff_path": data / task.job.mff_path.name})
        models = Models(scratch / "models", place.exchange)
        final = models.place(job.project, task.key)
        await fit_into(final, job, task.key, tell, place=place)
        await models.share(final)


def _lay_down(exchange: Exchange, place: str, mff_path: Path) -> None:
    """Both files of an MFF as one folder in the exchange."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / DATA
        folder.mkdir()
        for file in (mff_path, sidecar_path(mff_path)):
            shutil.copyfile(file, folder / file.name)
        exchange.put(place, folder)


@asynccontextmanager
async def _connected(scheduler: str) -> AsyncIterator[Client]:
    client = Client(
        scheduler,
        asynchronous=True,
        timeout=TIMEOUT_S,
        set_as_default=False,
        name="mmm-workflows",
    )
    try:
        try:
            await client
        except (OSError, ValueError) as error:
            said = str(error) or type(error).__name__
            raise ServiceUnavailable(
                f"The Dask scheduler at {scheduler} (DASK_SCHEDULER) does not answer: {said}. "
                "Start it or set another address, as tcp://host:8786; unset it to fit in "
                "processes of this machine."
            ) from error
        yield client
    finally:
        await client.close()
