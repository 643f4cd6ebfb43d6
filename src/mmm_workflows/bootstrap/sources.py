"""The databases that tables may be copied from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmm_workflows.config import Settings, child_environment

if TYPE_CHECKING:
    from mmm_workflows.tools.sources import Sources


def open_sources(settings: Settings) -> Sources:
    """Those of DATA_CONNECTIONS; none is reached before a table of it is asked for.

    Raises:
        SettingsError: The setting cannot be read.
    """
    from mmm_workflows.tools.sources import Sources, read_connections

    said = settings.data_connections
    databases = () if said is None else read_connections(said.get_secret_value())
    return Sources(databases, most_bytes=settings.upload_bytes, environment=child_environment())
