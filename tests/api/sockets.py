"""WebSockets, as the tests of this folder open them."""

from __future__ import annotations

from functools import partial

from websockets.asyncio import client

# A busy machine is silent for more than the 10 s that the library waits.
connect = partial(client.connect, open_timeout=60)
