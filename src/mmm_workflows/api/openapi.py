"""The description of the API: every answer, errors too, and how a caller says who it is."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from mmm_workflows.api.errors import MEDIA_TYPE
from mmm_workflows.api.schemas import Problem, UnreadableField
from mmm_workflows.records import Json

ERRORS: Final = {
    "400": "The body cannot be taken apart.",
    "401": "There is no key, or one that is not known.",
    "403": "The key, the host, the page or the path does not allow it.",
    "404": "There is none.",
    "408": "The request came too slowly.",
    "409": "It is not in a state in which this can be done.",
    "413": "The request is too long.",
    "422": "The request cannot be read or carried out.",
    "429": "The caller asks too often; Retry-After says when to come back.",
    "503": "Something is missing for the moment; Retry-After says when to come back.",
}
# Without keys in the settings none is asked for; a caller who has one always sends it.
SECURITY: Final[list[dict[str, list[str]]]] = [{"bearer": []}, {"header": []}, {}]
SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
NOTHING_BUT_LIVE: Final = "/health/live"


def operation_id(route: APIRoute) -> str:
    """The name of an operation in clients: that of its function."""
    return route.name


def install(app: FastAPI) -> None:
    """Describe the application so that clients can be made from it."""

    def described() -> Json:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app)
        return app.openapi_schema

    # As FastAPI's documentation does.
    app.openapi = described  # type: ignore[method-assign]


def _described(app: FastAPI) -> Json:
    schema = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    parts = schema.setdefault("components", {})
    parts["securitySchemes"] = SCHEMES
    for name in ("HTTPValidationError", "ValidationError"):
        parts["schemas"].pop(name, None)
    template = "#/components/schemas/{model}"
    parts["schemas"]["Problem"] = Problem.model_json_schema(ref_template=template)
    parts["schemas"]["Problem"].pop("$defs", None)
    parts["schemas"]["UnreadableField"] = UnreadableField.model_json_schema()
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            operation["security"] = SECURITY
            responses = operation["responses"]
            responses.pop("422", None)
            if path != NOTHING_BUT_LIVE:
                for status, said in ERRORS.items():
                    responses.setdefault(status, _problem(said))
    return schema


def _problem(said: str) -> Json:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": said, "content": content}
