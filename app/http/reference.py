"""The reference of the HTTP API: OpenAPI, and the same as a page with examples that run.

In: the application of our routes. Out: `/openapi.json`, generated from the routes, and
`/reference`, a page that asks nothing of other hosts.
"""

import html
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse, Response

from separate.app.http.schema import Asked, ErrorBody, Failure

FOLDER = Path(__file__).parents[1] / "reference"
EXAMPLES = ("example.sh", "example.py")
_ABOUT = """A session comes first: POST /session gives a key, which goes into the header
X-Separate-Session of all other requests. Uploads and results belong to it alone and are deleted
some time after their last use. Every error has one shape: {"error": {"code", "message"}}."""
_ERRORS = {
    "401": "There is no session (no_session), or no login (login_required).",
    "404": "There is no such thing, or it was deleted (not_found).",
    "422": "What is asked for is wrong (invalid).",
    "429": "A limit of number, space or rate is reached (too_many); see Retry-After.",
}


def openapi(app: FastAPI, root_path: str) -> dict[str, Any]:
    """Return the description of all routes.

    Args:
        app: Holds our routes alone.
        root_path: Where a proxy puts the page.
    """
    made = get_openapi(
        title="separate",
        version=version("separate-audio"),
        summary="Type what you want to hear and get it out of any recording.",
        description=" ".join(_ABOUT.split()),
        routes=app.routes,
        servers=[{"url": root_path or "/"}],
    )
    schemas = made["components"]["schemas"]
    for unused in (
        "HTTPValidationError",
        "ValidationError",
    ):  # FastAPI's own shape, which we don't use
        schemas.pop(unused, None)
    for model in (Asked, Failure, ErrorBody):
        own = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(own.pop("$defs", {}))
        schemas[model.__name__] = own
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Failure"}}}
    for path, methods in made["paths"].items():
        needs = path.startswith(("/upload", "/examples", "/jobs", "/results"))
        for operation in methods.values():
            errors = _ERRORS if needs else {}
            operation["responses"].pop("422", None)
            for status, text in errors.items():
                operation["responses"][status] = {"description": text, "content": content}
            operation["security"] = [{"session": []}] if needs else []
    made["components"]["securitySchemes"] = {
        "session": {"type": "apiKey", "in": "header", "name": "X-Separate-Session"}
    }
    return made


def add_reference(app: FastAPI, root_path: str) -> None:
    """Register the two routes; called when all others are registered."""
    described = openapi(app, root_path)

    @app.get("/openapi.json", include_in_schema=False)
    def machine() -> Response:
        return JSONResponse(described)

    @app.get("/reference", include_in_schema=False)
    def page(request: Request) -> Response:
        base = f"{request.url.scheme}://{request.headers.get('host', 'localhost')}{root_path}/"
        return HTMLResponse(render(described, base))

    @app.get("/reference/{name}", include_in_schema=False)
    def example(name: str) -> Response:
        if name not in EXAMPLES:
            return JSONResponse(
                {"error": {"code": "not_found", "message": "there is no such page"}}, 404
            )
        return Response((FOLDER / name).read_text("utf-8"), media_type="text/plain; charset=utf-8")


def render(described: dict[str, Any], base: str) -> str:
    """Return the page.

    Args:
        described: The OpenAPI description.
        base: Address of the server, with a slash at the end.
    """
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(loader=FileSystemLoader(FOLDER), autoescape=True)
    environment.filters["type"] = _type
    examples = {name: (FOLDER / name).read_text("utf-8") for name in EXAMPLES}
    return environment.get_template("page.html").render(
        api=described, base=html.escape(base), examples=examples
    )


def _type(schema: dict[str, Any]) -> str:
    """Return a type in words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f'"{value}"' for value in schema["enum"])
    if "const" in schema:
        return f'"{schema["const"]}"'
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return {"null": "null", "object": "object"}.get(
        str(schema.get("type")), str(schema.get("type", "any"))
    )
