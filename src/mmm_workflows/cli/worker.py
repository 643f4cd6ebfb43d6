"""A process that works on queued runs until it is told to stop."""

from __future__ import annotations

import asyncio
import signal

from mmm_workflows.allocator import keep_few_areas
from mmm_workflows.cli.session import aside
from mmm_workflows.niceness import give_way


async def work(at_once: int) -> None:
    """Take runs until TERM or INT; those in progress then end, or are put back on the queue."""
    from mmm_workflows import logs, traces
    from mmm_workflows.config import read_settings
    from mmm_workflows.workflows.runner import open_runner
    from mmm_workflows.workflows.worker import Worker

    give_way()
    keep_few_areas()
    settings, stop = read_settings(), asyncio.Event()
    logs.configure(settings.log_level, settings.log_format, secrets=settings.secrets())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with traces.sent_where_set(settings.otel_exporter_otlp_endpoint):
        async with (
            open_runner(settings) as runner,
            Worker(runner, at_once=at_once, drain_s=settings.drain_s),
        ):
            aside.print(f"taking runs from {runner.services.database}", markup=False)
            await stop.wait()
