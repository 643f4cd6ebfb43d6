"""MMM Workflows: from a question and a messy file to a defended marketing budget."""

import os

# LangGraph reads this at import: without it a checkpoint may hold a call to any function.
os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"  # noqa: TID251

__version__ = "0.1.0"
