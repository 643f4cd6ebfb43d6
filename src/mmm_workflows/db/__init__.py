"""Stores: runs, checkpoints and artifacts."""
