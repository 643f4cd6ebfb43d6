"""Every error as RFC 9457 problem details, with our stable code and a status by its class."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from structlog.contextvars import get_contextvars

from mmm_workflows.api.headers import HEADERS, REQUEST_ID
from mmm_workflows.errors import (
    CODES,
    MMMError,
    PathForbidden,
    ProjectForbidden,
    RunError,
    ServiceUnavailable,
    UserError,
)
from mmm_workflows.records import Json

MEDIA_TYPE: Final = "application/problem+json"
# The first class that fits decides; a code of its own comes before the class.
STATUS_OF_CODE: Final = {
    "run_not_found": 404,
    "artifact_not_found": 404,
    "model_not_found": 404,
    "artifact_damaged": 409,
    "model_damaged": 409,
    "workflow_id_invalid": 422,
    "project_invalid": 422,
}
RETRY_AFTER_S: Final = {"service_starting": "2"}
STATUS_OF_CLASS: Final = (
    (PathForbidden, 403),
    (ProjectForbidden, 403),
    (RunError, 409),
    (UserError, 422),
    (ServiceUnavailable, 503),
)
CODE_OF_STATUS: Final = {404: "address_unknown", 405: "address_unknown", 413: "request_too_large"}

# A request of a megabyte can be wrong in a hundred thousand places.
FIELDS_TOLD: Final = 20
WHERE_LENGTH: Final = 200

logger = logging.getLogger(__name__)


def install(app: FastAPI) -> None:
    """Make the application answer every error alike."""
    app.add_exception_handler(MMMError, _ours)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(Exception, _unexpected)


def status_of(error: MMMError) -> int:
    """The HTTP status of an error of ours."""
    if error.code in STATUS_OF_CODE:
        return STATUS_OF_CODE[error.code]
    return next((status for kind, status in STATUS_OF_CLASS if isinstance(error, kind)), 500)


def problem(status: int, code: str, detail: str, **more: object) -> Json:
    """The body of an error."""
    return {
        "type": f"urn:mmm-workflows:error:{code}",
        "title": CODES[code],
        "status": status,
        "detail": detail,
        "code": code,
        **more,
    }


def answer(
    status: int,
    code: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    **more: object,
) -> JSONResponse:
    """An error as it is sent."""
    body = problem(status, code, detail, **more)
    return JSONResponse(body, status, headers=headers, media_type=MEDIA_TYPE)


async def _ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, MMMError)
    wait = RETRY_AFTER_S.get(error.code)
    headers = {} if wait is None else {"retry-after": wait}
    return answer(status_of(error), error.code, error.message, headers=headers)


async def _unreadable(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    fields = [
        {
            "where": ".".join(str(part) for part in each["loc"])[:WHERE_LENGTH],
            "message": each["msg"],
        }
        for each in found[:FIELDS_TOLD]
    ]
    told = "; ".join(f"{field['where']}: {field['message']}" for field in fields)
    if len(found) > FIELDS_TOLD:
        told += f"; and {len(found) - FIELDS_TOLD} more"
    return answer(422, "request_invalid", f"The request cannot be read. {told}.", fields=fields)


async def _of_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = CODE_OF_STATUS.get(error.status_code, "request_invalid")
    detail = error.detail
    if error.status_code in (404, 405):
        detail = (
            f"{request.method} {request.url.path}: {HTTPStatus(error.status_code).phrase}. "
            "/docs lists what there is."
        )
    return answer(error.status_code, code, detail, headers=_headers(request, error))


def _headers(request: Request, error: HTTPException) -> Mapping[str, str] | None:
    methods = request.app.openapi()["paths"].get(getattr(request.scope.get("route"), "path", None))
    if error.status_code != 405 or methods is None:
        return error.headers
    # Starlette knows those of the first route of an address alone.
    return {"allow": ", ".join(sorted(method.upper() for method in methods))}


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    logger.error("%s %s failed on our side", request.method, request.url.path, exc_info=error)
    # It is given outside of every layer of ours.
    told = {REQUEST_ID: str(get_contextvars().get("request_id", ""))}
    return answer(
        500, "internal", "Something went wrong on our side; the log has the details.",
        headers={**HEADERS, **told},
    )  # fmt: skip
