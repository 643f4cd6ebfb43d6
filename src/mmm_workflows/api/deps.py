"""What an endpoint is given: the runner, the background, and the folders that it may read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from mmm_workflows.api.background import Background
from mmm_workflows.errors import PathForbidden
from mmm_workflows.records import Json
from mmm_workflows.workflows.runner import Runner


@dataclass(frozen=True, kw_only=True)
class Folders:
    """Where a path of a request may lead."""

    uploads: Path
    models: Path
    outputs: Path

    def check(self, arguments: Json) -> None:
        """Refuse a path that leads out of its folder, by ``..`` or by a link.

        Raises:
            PathForbidden: One does (``path_forbidden``).
        """
        _refuse_outside(arguments.get("data_sources", ()), self.uploads, "UPLOAD_DIR")
        _refuse_outside(_one(arguments, "mff_data_path"), self.outputs, "OUTPUT_DIR")
        _refuse_outside(_one(arguments, "model_artifact_path"), self.models, "MODEL_DIR")
        _refuse_outside(_one(arguments, "replay"), self.outputs, "OUTPUT_DIR")


@dataclass(frozen=True, kw_only=True)
class Door:
    """All that endpoints share."""

    runner: Runner
    background: Background
    folders: Folders


def _door(connection: HTTPConnection) -> Door:
    door: Door = connection.app.state.door
    return door


type Shared = Annotated[Door, Depends(_door)]


def _one(arguments: Json, name: str) -> Sequence[str]:
    return (arguments[name],) if arguments.get(name) is not None else ()


def _refuse_outside(paths: Sequence[str], folder: Path, setting: str) -> None:
    root = folder.resolve()
    for path in paths:
        if "\0" in path or not Path(path).resolve().is_relative_to(root):
            raise PathForbidden(
                f"The path {path!r} does not lie under {setting}. Upload a file to get a path that "
                "does; a result of a workflow names the paths of its data and model."
            )
