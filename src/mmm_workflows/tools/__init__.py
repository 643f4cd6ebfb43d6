"""Adapters to the world outside: child processes and progress channels."""
