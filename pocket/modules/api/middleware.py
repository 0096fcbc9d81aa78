"""How the API says that something went wrong: JSON with the exception's own status and detail."""

import time
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import HTTPException
from fastapi.responses import JSONResponse

from modules import errors, shared


def handle_exception(request: Request, error: Exception) -> JSONResponse:
    """The JSON answer for an exception: `status_code` and `detail` are taken from the instance, else 500 and empty."""
    own = vars(error)
    body = {
        "error": type(error).__name__,
        "detail": own.get("detail", ""),
        "body": own.get("body", ""),
        "errors": str(error),
    }
    if not isinstance(error, HTTPException):
        errors.report(f"API error: {request.method}: {request.url} {body}", exc_info=True)
    return JSONResponse(status_code=own.get("status_code", 500), content=jsonable_encoder(body))


def api_middleware(app: FastAPI) -> None:
    """Adds the handlers to an app, and the time taken to each answer's head."""

    @app.middleware("http")
    async def log_and_time(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        started = time.perf_counter()
        response = await call_next(request)
        seconds = round(time.perf_counter() - started, 4)
        response.headers["X-Process-Time"] = str(seconds)
        if shared.cmd_opts.api_log and request.url.path.startswith("/sdapi"):
            print(f"API {response.status_code} {request.method} {request.url.path} {seconds} s")
        return response

    @app.middleware("http")
    async def catch(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        try:
            return await call_next(request)
        except Exception as error:  # noqa: BLE001 - the client gets an answer, whatever went wrong
            return handle_exception(request, error)

    @app.exception_handler(Exception)
    async def any_exception(request: Request, error: Exception) -> JSONResponse:
        return handle_exception(request, error)

    @app.exception_handler(HTTPException)
    async def http_exception(request: Request, error: HTTPException) -> JSONResponse:
        return handle_exception(request, error)
