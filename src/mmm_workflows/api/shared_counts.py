"""Callers counted over all replicas on one Redis, and within the process while it is away."""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from mmm_workflows.api.counts import Asked, LocalCounts, Room
from mmm_workflows.api.turnstile import WITHIN_S
from mmm_workflows.errors import SettingsError

PREFIX: Final = "mmm-workflows"
# A request waits for it: what takes longer is counted here.
TIMEOUT_S: Final = 0.5
CONNECTIONS: Final = 32
# While Redis is away no request waits for it, but one in so long.
AWAY_S: Final = 5.0
# A place that is not renewed for so long was a process's that died.
LEASE_S: Final = 60
RENEW_S: Final = 20.0
REFUSALS_KEPT: Final = 10_000
# A script whose answer is late is sent again, under the same name: that is one call, and one place.
# Redis's clock for all. KEYS: the moments of a caller; ARGV: a name of this one, how many there may
# be, within how many milliseconds. The answer: milliseconds to wait.
ASK: Final = """
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[3]))
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then
    return tonumber(redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]) + tonumber(ARGV[3]) - now
end
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 0
"""
# KEYS: the places; ARGV: who takes one, how many there are, the lease.
TAKE: Final = """
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 1 end
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""
# ARGV: the lease, and all that this process holds.
RENEW: Final = """
local until_s = tonumber(redis.call('TIME')[1]) + tonumber(ARGV[1])
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], until_s, ARGV[i]) end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
"""

logger = logging.getLogger(__name__)


@asynccontextmanager
async def open_shared_counts(url: str) -> AsyncIterator[SharedCounts]:
    """Counts on a Redis, which is not asked for anything yet.

    Raises:
        SettingsError: The address is not that of a Redis.
    """
    try:
        # Who finds all connections in use waits for one: a crowd is no Redis that is away.
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            socket_keepalive=True,
            # Once: a connection that the server closed while it was idle is opened again. So is one
            # whose answer is late, and the script is run twice.
            retry=Retry(NoBackoff(), 1),
        )
    except ValueError:  # whose words may hold a piece of the password
        raise SettingsError(
            "REDIS_URL cannot be used: it is no address of a Redis. Expected redis://HOST:PORT, "
            "redis://USER:PASSWORD@HOST:PORT/NUMBER or rediss:// for TLS."
        ) from None
    async with Redis.from_pool(pool) as client:
        counts = SharedCounts(client)
        renewing = asyncio.create_task(counts.renew(), name="places at Redis")
        try:
            yield counts
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)


class SharedCounts:
    """Counts over all processes on one Redis; see ``counts.Counts``.

    While Redis is away each process counts for itself, as ``LocalCounts`` does, and the log says so.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._local = LocalCounts()
        self._away_until = 0.0
        self._is_away = False
        self._held: dict[Room, set[str]] = {"requests": set(), "sockets": set()}
        # Until when somebody waits: asking Redis again and again would be work for nothing.
        self._refused: dict[tuple[str, str], float] = {}
        self._ask = client.register_script(ASK)
        self._take = client.register_script(TAKE)
        self._renew = client.register_script(RENEW)

    async def to_wait(self, what: Asked, limit: int, who: str) -> int:
        """Count a caller in, so often a minute; seconds until it may ask again, 0: it may now."""
        key, now = (what, who), time.monotonic()
        if (left := self._refused.get(key, now) - now) > 0:
            return math.ceil(left)
        self._refused.pop(key, None)
        if self._may_ask():
            place = f"{PREFIX}:asked:{what}:{who}"
            name = secrets.token_hex(8)
            try:
                wait_ms = int(
                    await self._ask(keys=[place], args=[name, limit, int(WITHIN_S * 1000)])
                )
            except (RedisError, OSError) as error:
                self._lost(error)
            else:
                self._found()
                if wait_ms and len(self._refused) < REFUSALS_KEPT:
                    self._refused[key] = now + wait_ms / 1000
                return math.ceil(wait_ms / 1000)
        return await self._local.to_wait(what, limit, who)

    @asynccontextmanager
    async def place(self, room: Room, limit: int) -> AsyncIterator[bool]:
        """A place for the length of the block, and whether there was one."""
        # Taken here as well: this is what counts while Redis is away.
        async with self._local.place(room, limit) as is_free:
            if not is_free:
                yield False
                return
            name = secrets.token_hex(8)
            if not await self._taken(room, limit, name):
                yield False
                return
            self._held[room].add(name)
            try:
                yield True
            finally:
                self._held[room].discard(name)
                await self._given_back(room, name)

    async def renew(self) -> None:
        """Hold on to the places of this process, as long as this runs."""
        while True:
            await asyncio.sleep(RENEW_S)
            for room, held in self._held.items():
                if held and self._may_ask():
                    try:
                        await self._renew(keys=[_key(room)], args=[LEASE_S, *held])
                    except (RedisError, OSError) as error:
                        self._lost(error)
                    else:
                        self._found()

    async def _taken(self, room: Room, limit: int, name: str) -> bool:
        if not self._may_ask():
            return True
        try:
            taken = await self._take(keys=[_key(room)], args=[name, limit, LEASE_S])
        except (RedisError, OSError) as error:
            self._lost(error)
            return True
        self._found()
        return bool(taken)

    async def _given_back(self, room: Room, name: str) -> None:
        # Where this fails, the lease ends by itself.
        if self._may_ask():
            try:
                await self._client.zrem(_key(room), name)
            except (RedisError, OSError) as error:
                self._lost(error)

    def _may_ask(self) -> bool:
        return time.monotonic() >= self._away_until

    def _lost(self, error: Exception) -> None:
        self._away_until = time.monotonic() + AWAY_S
        if not self._is_away:
            self._is_away = True
            logger.warning(
                "Redis (REDIS_URL) does not answer: %s. Until it does, the limits of callers are "
                "counted per process, so that N replicas let N times as much in.",
                str(error).rstrip(".") or type(error).__name__,
            )

    def _found(self) -> None:
        if self._is_away:
            self._is_away = False
            logger.warning("Redis is back; the limits of callers hold over all replicas again")


def _key(room: Room) -> str:
    return f"{PREFIX}:places:{room}"
