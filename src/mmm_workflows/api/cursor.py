"""Where a page of runs ends, as text that a caller hands back."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime

from mmm_workflows.errors import UserError
from mmm_workflows.records import RunView

type Place = tuple[datetime, str]


def write_cursor(last: RunView) -> str:
    """The place of a page's last run; runs that come in later do not move it."""
    text = f"{last.created_at.isoformat()} {last.workflow_id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(text: str) -> Place:
    """The place that ``write_cursor`` wrote.

    Raises:
        UserError: It is none (``request_invalid``).
    """
    try:
        padded = text + "=" * (-len(text) % 4)
        at, _, workflow_id = (
            base64.b64decode(padded, altchars=b"-_", validate=True).decode().partition(" ")
        )
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None or not workflow_id.isprintable():
            raise ValueError(text)
        moment = moment.astimezone(UTC)
    except (binascii.Error, ValueError, OverflowError) as error:
        raise UserError(
            "The cursor cannot be read. Take it from `next` of the page before, as it stands there."
        ) from error
    return moment, workflow_id
