"""Model folders of this machine, and those that other machines share."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mmm_workflows.errors import ModelFileError, ServiceUnavailable
from mmm_workflows.mmm.copies import mark_copy, marked_copies, unmark_copy
from mmm_workflows.mmm.model_files import open_model, publish
from mmm_workflows.mmm.partial_folders import partial_folder, sweep
from mmm_workflows.mmm.removing import remove_folder
from mmm_workflows.ports import Exchange
from mmm_workflows.records import NAME

PART: Final = "models"
KEY_LENGTH: Final = 16
KEY: Final = re.compile(rf"[0-9a-f]{{{KEY_LENGTH}}}")

logger = logging.getLogger(__name__)


class Models:
    """Model folders at ``root/<project>/<key>``, by what decides their numbers.

    Args:
        root: The folder of this machine.
        exchange: What machines share; each model lies there as well, as ``models/<project>/<key>``.
            None: ``root`` is all there is.
    """

    def __init__(self, root: Path, exchange: Exchange | None = None) -> None:
        self.root = root
        self._exchange = exchange and exchange.part(PART)

    def place(self, project: str, key: str) -> Path:
        """Where the model of a fit lies on this machine, whether it is there or not."""
        return self.root / project / key[:KEY_LENGTH]

    async def find(self, final: Path) -> bool:
        """Whether a whole model lies at its place, once it was brought there.

        A damaged one makes room.

        Raises:
            ModelFileError: What was brought is damaged or another model (``model_damaged``).
        """
        return await asyncio.to_thread(self._find, final)

    async def share(self, final: Path) -> None:
        """See to it that other machines can bring a model of this one."""
        if self._exchange is not None:
            await asyncio.to_thread(self._share, self._exchange, final)

    async def at_hand(self, paths: Sequence[Path]) -> None:
        """Bring the models at these paths, where they are not here; others are let be."""
        if self._exchange is not None:
            for path in paths:
                await asyncio.to_thread(self._bring, self._exchange, path)

    async def forget_gone(self) -> None:
        """Remove the copies of models that another machine has removed from what machines share."""
        if self._exchange is not None:
            await asyncio.to_thread(self._forget_gone, self._exchange)

    async def remove(self, path: Path) -> None:
        """Remove a model of this store; nothing happens when it is gone already.

        Raises:
            ServiceUnavailable: It is still there, here or where machines share it.
        """
        place = self._place_of(path)
        if self._exchange is not None and place is not None:
            await asyncio.to_thread(self._exchange.remove, place)
        if path.is_relative_to(self.root):
            await asyncio.to_thread(remove_folder, path)
        if place is not None:
            await asyncio.to_thread(unmark_copy, self.root, place)

    async def sweep(self, project: str) -> None:
        """Remove what processes of this machine began to fit for a project before they died."""
        await asyncio.to_thread(sweep, self.root / project)

    async def holds(self, project: str) -> bool:
        """Whether a model lies here, or where machines share it, for a project."""
        return await asyncio.to_thread(self._holds, project)

    async def remove_project(self, project: str) -> None:
        """Remove every model of a project.

        Raises:
            ServiceUnavailable: Something is still there, here or where machines share it.
        """
        if self._exchange is not None:
            await asyncio.to_thread(self._exchange.remove, project)
        await asyncio.to_thread(remove_folder, self.root / project)

    def _holds(self, project: str) -> bool:
        is_here = any(files for _, _, files in os.walk(self.root / project))
        return is_here or (self._exchange is not None and self._exchange.has(project))

    def _find(self, final: Path) -> bool:
        if _is_intact(final):
            return True
        return self._exchange is not None and self._bring(self._exchange, final)

    def _share(self, exchange: Exchange, final: Path) -> None:
        place = self._place_of(final)
        if place is not None:
            if not exchange.has(place):
                exchange.put(place, final)
            mark_copy(self.root, place, exchange.store_id)

    def _bring(self, exchange: Exchange, path: Path) -> bool:
        place = self._place_of(path)
        if place is None or path.is_dir():
            return False
        with partial_folder(path.parent) as partial:
            brought = exchange.bring(place, partial)
            if brought is None:
                return False
            _check(brought, path, exchange.where)
            mark_copy(self.root, place, exchange.store_id)
            publish(brought, path)
        return True

    def _forget_gone(self, exchange: Exchange) -> None:
        for place in exchange.gone(marked_copies(self.root, exchange.store_id)):
            try:
                remove_folder(self.root / place)
            except ServiceUnavailable as error:
                logger.warning("%s", error.message)  # the next time; the others go
            else:
                unmark_copy(self.root, place)

    def _place_of(self, path: Path) -> str | None:
        """``<project>/<key>`` of a model of this store; None for any other path."""
        if not path.is_relative_to(self.root):
            return None
        parts = path.relative_to(self.root).parts
        is_model = len(parts) == 2 and re.fullmatch(NAME, parts[0]) and KEY.fullmatch(parts[1])
        return "/".join(parts) if is_model else None


def _check(brought: Path, path: Path, where: str) -> None:
    model = open_model(brought)
    model.verify()
    found = (model.manifest.project, model.manifest.key[:KEY_LENGTH])
    if found != (path.parent.name, path.name):
        raise ModelFileError(
            f"What lies in {where} as the model {path.parent.name}/{path.name} is the model "
            f"{'/'.join(found)}, so it was changed there. Remove it there and run Modeling again."
        )


def _is_intact(folder: Path) -> bool:
    try:
        open_model(folder).verify()
    except ModelFileError as error:
        if error.code != "model_not_found":
            shutil.rmtree(folder, ignore_errors=True)
        return False
    return True
