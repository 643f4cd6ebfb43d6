"""Events from the process that runs to those that watch in other processes, over Redis pub/sub."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from mmm_workflows.errors import ServiceUnavailable, SettingsError
from mmm_workflows.records import Event
from mmm_workflows.tools.progress import QUEUE_LENGTH, Follower, LocalProgress

CHANNELS: Final = "mmm-workflows:progress:"
TIMEOUT_S: Final = 5.0
RETRY_S: Final = 1.0

logger = logging.getLogger(__name__)


@asynccontextmanager
async def open_redis_progress(
    url: str, *, queue_length: int = QUEUE_LENGTH
) -> AsyncIterator[RedisProgress]:
    """A channel that hears what other processes on this Redis tell from its opening on.

    Raises:
        SettingsError: The address is not that of a Redis.
        ServiceUnavailable: The server does not answer.
    """
    where = _place(url)
    client = _client(url)
    async with client:
        try:
            await client.ping()
        except RedisError as error:
            raise _unavailable(where, error) from error
        async with RedisProgress(client, where, queue_length=queue_length) as channel:
            yield channel


async def redis_place(url: str) -> str:
    """Where the Redis of an address is and which version it has; for ``doctor``.

    Raises:
        SettingsError: The address is not that of a Redis.
        ServiceUnavailable: The server does not answer.
    """
    where = _place(url)
    async with _client(url) as client:
        try:
            told = await client.info("server")
        except RedisError as error:
            raise _unavailable(where, error) from error
    return f"Redis {told['redis_version']} at {where}"


class RedisProgress:
    """Tells the followers of this process at once, and those of others over Redis.

    Redis is never waited for: while it is away the run goes on, and watchers elsewhere find the
    events in the log.
    """

    def __init__(self, client: Redis, where: str, *, queue_length: int) -> None:
        self._client = client
        self._where = where
        # Redis tells every database what one of them is told: the number keeps two houses apart.
        number = client.connection_pool.connection_kwargs.get("db") or 0
        self.channels = f"{CHANNELS}{number}:"
        self._local = LocalProgress(queue_length)
        self._origin = secrets.token_hex(8)
        self._outgoing: asyncio.Queue[Event] = asyncio.Queue(queue_length)
        self._is_away = False
        self._is_heard = asyncio.Event()
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    async def __aenter__(self) -> RedisProgress:
        self._tasks = (
            asyncio.create_task(self._send(), name="progress to Redis"),
            asyncio.create_task(self._listen(), name="progress from Redis"),
        )
        try:
            await asyncio.wait_for(self._is_heard.wait(), TIMEOUT_S)
        except TimeoutError as error:
            await self.__aexit__()
            raise _unavailable(self._where, error) from error
        return self

    async def __aexit__(self, *raised: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def publish(self, event: Event) -> None:
        """Tell the followers of the event's run, here and elsewhere; the last event ends them."""
        await self._local.publish(event)
        if self._outgoing.full():
            # The oldest: a reader that gets the newest looks at the log for all before it.
            self._outgoing.get_nowait()
        self._outgoing.put_nowait(event)

    def follow(self, workflow_id: str) -> Follower:
        """Events told from this call on, until the run ends or ``aclose`` is called."""
        return self._local.follow(workflow_id)

    @property
    def followed(self) -> int:
        """How many runs have a follower in this process."""
        return self._local.followed

    async def _send(self) -> None:
        while True:
            event = await self._outgoing.get()
            message = _Message(origin=self._origin, event=event).model_dump_json()
            try:
                await self._client.publish(self.channels + event.workflow_id, message)
            except (RedisError, OSError) as error:
                self._lost(error)

    async def _listen(self) -> None:
        while True:
            try:
                async with self._client.pubsub() as heard:
                    await heard.psubscribe(f"{self.channels}*")
                    async for message in heard.listen():
                        self._found()
                        if message["type"] == "pmessage":
                            await self._take(message["data"])
            except (RedisError, OSError) as error:
                self._lost(error)
            await asyncio.sleep(RETRY_S)

    async def _take(self, data: bytes) -> None:
        try:
            message = _Message.model_validate_json(data)
        except ValidationError:
            # Of another version, or not of ours: the log holds every event all the same.
            logger.debug("a message on Redis at %s is no event of this version", self._where)
            return
        if message.origin != self._origin:
            await self._local.publish(message.event)

    def _lost(self, error: Exception) -> None:
        if not self._is_away:
            self._is_away = True
            logger.warning(
                "Redis at %s is away: %s. Runs go on; watchers in other processes read the event "
                "log until it is back.",
                self._where,
                _reason(error),
            )

    def _found(self) -> None:
        self._is_heard.set()
        if self._is_away:
            self._is_away = False
            logger.warning("Redis at %s is back", self._where)


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    origin: str
    event: Event


def _client(url: str) -> Redis:
    return Redis.from_url(
        url,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        socket_keepalive=True,
        # Once: a connection that the server closed while it was idle is opened again.
        retry=Retry(NoBackoff(), 1),
    )


def _place(url: str) -> str:
    """Host and port, without the user and password that the address may hold."""
    # What urlsplit says of a bad address may hold a piece of the password: it is not passed on.
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 6379
        is_redis = parts.scheme in ("redis", "rediss") and parts.path.strip("/").isdigit() | (
            parts.path in ("", "/")
        )
    except ValueError:
        host, is_redis = None, False
    if host is None or not is_redis:
        raise SettingsError(
            "REDIS_URL cannot be used: it is no address of a Redis. Expected "
            "redis://HOST:PORT, redis://USER:PASSWORD@HOST:PORT/NUMBER or rediss:// for TLS."
        ) from None
    return f"{host}:{port}"


def _unavailable(where: str, error: Exception) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"The Redis at {where} (REDIS_URL) does not answer: {_reason(error)}. Start it or set another "
        "address; unset REDIS_URL to tell progress within one process."
    )


def _reason(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__
