"""Every error as RFC 9457 problem details, with our stable code and a status by its class."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from mmm_workflows.errors import (
    CODES,
    MMMError,
    PathForbidden,
    RunError,
    ServiceUnavailable,
    UserError,
)
from mmm_workflows.records import Json

MEDIA_TYPE: Final = "application/problem+json"
# The first class that fits decides; a code of its own comes before the class.
STATUS_OF_CODE: Final = {"run_not_found": 404, "workflow_id_invalid": 422, "project_invalid": 422}
STATUS_OF_CLASS: Final = (
    (PathForbidden, 403),
    (RunError, 409),
    (UserError, 422),
    (ServiceUnavailable, 503),
)
CODE_OF_STATUS: Final = {404: "address_unknown", 405: "address_unknown", 413: "request_too_large"}

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


def _answer(status: int, code: str, detail: str, **more: object) -> JSONResponse:
    return JSONResponse(problem(status, code, detail, **more), status, media_type=MEDIA_TYPE)


async def _ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, MMMError)
    return _answer(status_of(error), error.code, error.message)


async def _unreadable(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    fields = [
        {"where": ".".join(str(part) for part in found["loc"]), "message": found["msg"]}
        for found in error.errors()
    ]
    told = "; ".join(f"{field['where']}: {field['message']}" for field in fields)
    return _answer(422, "request_invalid", f"The request cannot be read. {told}.", fields=fields)


async def _of_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = CODE_OF_STATUS.get(error.status_code, "request_invalid")
    detail = error.detail
    if error.status_code in (404, 405):
        detail = (
            f"{request.method} {request.url.path}: {HTTPStatus(error.status_code).phrase}. "
            "/docs lists what there is."
        )
    return _answer(error.status_code, code, detail)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    logger.error("%s %s failed on our side", request.method, request.url.path, exc_info=error)
    return _answer(500, "internal", "Something went wrong on our side; the log has the details.")
