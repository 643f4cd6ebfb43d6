"""What an endpoint is given: the runner and the folders, as far as its caller may see them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Depends
from starlette.requests import HTTPConnection

from mmm_workflows.api.schemas import Accepted
from mmm_workflows.errors import PathForbidden, ProjectForbidden, RunNotFound
from mmm_workflows.keys import Caller
from mmm_workflows.records import Json, Run, RunView
from mmm_workflows.workflows.instant import Instant

if TYPE_CHECKING:
    # They load LangGraph and pandas, and the process is to answer before those are there.
    from mmm_workflows.api.opening import Opening
    from mmm_workflows.workflows.queue import Queue
    from mmm_workflows.workflows.runner import Runner
    from mmm_workflows.workflows.worker import Worker

# What Linux takes. Looking up each part of a longer one takes minutes.
PATH_LENGTH: Final = 4096
# What may also lie in a folder of DATA_DIRS.
FROM_DATA_DIRS: Final = frozenset({"data_sources", "actuals"})


@dataclass(frozen=True, kw_only=True)
class Folders:
    """Where a path of a request may lead; each folder but ``data`` has one folder per project."""

    uploads: Path
    models: Path
    outputs: Path
    data: tuple[Path, ...] = ()

    def check(self, arguments: Json, caller: Caller) -> None:
        """Refuse a path that leads out of its folder, by ``..`` or by a link.

        Raises:
            PathForbidden: One does, or it lies in a project that is not the caller's
                (``path_forbidden``).
        """
        uploads, outputs = (self.uploads, "UPLOAD_DIR"), (self.outputs, "OUTPUT_DIR")
        for name, *places in (
            ("data_sources", uploads),
            ("mff_data_path", outputs),
            ("model_artifact_path", (self.models, "MODEL_DIR")),
            # A file that came in, or the MFF that EDA made of it.
            ("actuals", uploads, outputs),
            ("replay", outputs),
        ):
            for path in _named(arguments, name):
                if "://" in path:
                    raise PathForbidden(
                        f"{name} holds an address, and none is read. A table of a database comes "
                        "in by POST /datasets, with the name of a connection of DATA_CONNECTIONS."
                    )
                is_data = name in FROM_DATA_DIRS and any(_lies_in(path, d) for d in self.data)
                if not (is_data or any(_is_open(path, folder, caller) for folder, _ in places)):
                    raise PathForbidden(
                        f"The path {path!r} does not lie under "
                        f"{' or '.join(setting for _, setting in places)} in a project of yours. "
                        "Upload a file to get a path that does; a result of a workflow names the "
                        "paths of its data and model."
                    )


@dataclass(frozen=True, kw_only=True)
class House:
    """All that endpoints share."""

    runner: Runner
    worker: Worker
    folders: Folders
    queue: Queue
    instant: Instant

    def accept(self, run: Run) -> Accepted:
        """What is said of a run that was put on the queue, once the worker here knows of it."""
        self.worker.wake()
        return Accepted.of(run)


@dataclass(frozen=True, kw_only=True)
class Door:
    """The house as far as one caller may see it."""

    house: House
    caller: Caller

    @property
    def runner(self) -> Runner:
        """The runner; what is asked of it is checked first by the methods of this class."""
        return self.house.runner

    @property
    def queue(self) -> Queue:
        """Where runs are left to workers."""
        return self.house.queue

    def accept(self, run: Run) -> Accepted:
        """What is said of a run that was put on the queue."""
        return self.house.accept(run)

    async def run(self, workflow_id: str) -> RunView:
        """Where a run of the caller's projects stands, without its result.

        Raises:
            RunNotFound: There is none, or it is another project's, which is told alike
                (``run_not_found``).
        """
        run = await self.runner.outline(workflow_id)
        if not self.caller.may_see(run.project):
            raise RunNotFound.of(workflow_id)
        return run

    async def view(self, workflow_id: str) -> RunView:
        """Where a run of the caller's projects stands, with its result.

        Raises:
            RunNotFound: As for ``run``.
        """
        view = await self.runner.view(workflow_id)
        if not self.caller.may_see(view.project):
            raise RunNotFound.of(workflow_id)
        return view

    def enter(self, project: str) -> None:
        """Refuse a project that the caller's key does not open.

        Raises:
            ProjectForbidden: It does not (``project_forbidden``).
        """
        if not self.caller.may_see(project):
            raise ProjectForbidden(
                f"The key of {self.caller.name!r} does not open the project {project!r}. Name one "
                "that it opens, or have its entry in API_KEYS changed."
            )

    def enter_all(self) -> None:
        """Refuse a key that does not open every project.

        Raises:
            ProjectForbidden: It does not (``project_forbidden``).
        """
        if self.caller.projects is not None:
            raise ProjectForbidden(
                f"The key of {self.caller.name!r} opens some projects, and this is told of all of "
                "them. Use a key whose entry in API_KEYS opens '*'."
            )

    async def check(self, arguments: Json) -> None:
        """Refuse a path that leads out of its folder or into another's project.

        Raises:
            PathForbidden: One does (``path_forbidden``).
        """
        # Many paths, or a folder on a slow disk, must not hold up everybody else.
        await asyncio.to_thread(self.house.folders.check, arguments, self.caller)

    def projects(self, project: str | None) -> tuple[str, ...] | None:
        """The projects that a list is of: the one that is named, or all that are open; None: all.

        Raises:
            ProjectForbidden: The named one is not open (``project_forbidden``).
        """
        if project is not None:
            self.enter(project)
            return (project,)
        return None if self.caller.projects is None else tuple(sorted(self.caller.projects))


async def _door(connection: HTTPConnection) -> Door:
    caller: Caller = connection.scope["state"]["caller"]
    opening: Opening[House] = connection.app.state.opening
    return Door(house=await opening.house(), caller=caller)


type Shared = Annotated[Door, Depends(_door)]


def _named(arguments: Json, name: str) -> Sequence[str]:
    value = arguments.get(name)
    return () if value is None else (value,) if isinstance(value, str) else value


def _lies_in(path: str, folder: Path) -> bool:
    if "\0" in path or len(path) > PATH_LENGTH:
        return False
    return Path(path).resolve().is_relative_to(folder.resolve())


def _is_open(path: str, folder: Path, caller: Caller) -> bool:
    if not _lies_in(path, folder):
        return False
    inside = Path(path).resolve().relative_to(folder.resolve()).parts
    return caller.projects is None or (bool(inside) and caller.may_see(inside[0]))
