"""The API, by ``mmm-workflows serve``: on this machine, or elsewhere behind keys."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from ipaddress import ip_address
from typing import Final

from mmm_workflows.config import Settings, read_settings
from mmm_workflows.errors import SettingsError
from mmm_workflows.keys import make_key, read_keys
from mmm_workflows.records import Json

# Longer than a fit needs to be ended, shorter than a person's patience.
GRACE_S: Final = 5
# Longer than a load balancer keeps a connection (60 s): the side that asks must close it first, or
# its next request meets a closed one.
KEEP_ALIVE_S: Final = 65
# Watchers have nothing to say.
SOCKET_MESSAGE_BYTES: Final = 1 << 12
# Beside requests and sockets at once: connections between two requests.
WAITING_CONNECTIONS: Final = 256
# For databases, fits, what runs read; each request at once may have a file open as well.
KEPT_FILES: Final = 128
# As uvicorn has it: connections that are taken before the first of them is counted.
BACKLOG: Final = 2048
# As uvicorn's own command ends.
NOT_STARTED: Final = 3

logger = logging.getLogger(__name__)


def serve(host: str, port: int) -> None:
    """Serve until interrupted."""
    import uvicorn

    from mmm_workflows import logs
    from mmm_workflows.cli.connections import Places
    from mmm_workflows.cli.server import Server

    settings = read_settings()
    logs.configure(settings.log_level, settings.log_format, secrets=settings.secrets())
    most, backlog = most_connections(settings, _open_files())
    config = uvicorn.Config(
        "mmm_workflows.api.main:app", host=host, port=port, timeout_graceful_shutdown=GRACE_S,
        http=Places(most).protocol(), backlog=backlog,
        timeout_keep_alive=KEEP_ALIVE_S, log_config=None, access_log=False,
        ws_max_size=SOCKET_MESSAGE_BYTES,
        # Each socket would keep 200 kB to squeeze messages of 300 bytes.
        ws_per_message_deflate=False,
        # Unset, uvicorn would believe all on this machine, who are callers as well.
        proxy_headers=bool(settings.forwarded_allow_ips),
        forwarded_allow_ips=settings.forwarded_allow_ips,
    )  # fmt: skip
    server = Server(config)
    # Uvicorn has stopped in order by then, and passes on what it was stopped by.
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        raise SystemExit(NOT_STARTED)


def most_connections(settings: Settings, open_files: int) -> tuple[int, int]:
    """Connections that are open at once, and those that are let in at a time.

    All that the settings promise and some that wait for a request, unless this process may not have
    so many files open: then as many as leave it those that its work needs, half of them at most,
    which the log says.
    """
    promised = settings.requests_at_once + settings.sockets_at_once + WAITING_CONNECTIONS
    kept = min(KEPT_FILES + settings.requests_at_once, open_files // 2)
    most = min(promised, open_files - kept)
    if most < promised:
        logger.warning(
            "this process may have %d files open, so it takes %d connections instead of the %d that "
            "the settings allow; raise `ulimit -n`", open_files, most, promised,
        )  # fmt: skip
    return most, min(BACKLOG, (open_files - most) // 2)


def _open_files() -> int:
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def refuse_open_door(host: str) -> None:
    """Refuse to listen beyond this machine without a key.

    Raises:
        SettingsError: There is none, or one that cannot be read.
    """
    settings = read_settings()
    keys = settings.api_keys
    if (keys is not None and read_keys(keys.get_secret_value())) or settings.allow_no_key:
        return
    if not _is_loopback(host):
        raise SettingsError(
            f"The address {host} can be reached from other machines, and API_KEYS is not set. Set "
            "it (`mmm-workflows new-key NAME` makes a key), or listen on 127.0.0.1."
        )


def refuse_missing_collector() -> None:
    """Refuse to start without the packages that send traces, where they are to be sent.

    Raises:
        SettingsError: They are not installed.
    """
    from mmm_workflows import traces

    endpoint = read_settings().otel_exporter_otlp_endpoint
    if endpoint is not None:
        traces.collector(endpoint).shutdown()


def new_key(name: str, projects: list[str]) -> Json:
    """A new key, and its entry for API_KEYS."""
    key, entry = make_key(name, projects)
    return {"key": key, "entry": str(entry)}


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
