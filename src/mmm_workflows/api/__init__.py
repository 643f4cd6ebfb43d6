"""The REST and WebSocket door: it reads requests, hands them to the runner and shows answers."""
