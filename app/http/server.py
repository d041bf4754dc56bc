"""From options to a running server; comes in: a `ServeConfig`; goes out: an ASGI application."""

import logging
import os
import threading
from contextlib import suppress
from typing import Any

from separate.app.config import ServeConfig

_SWEEP_SECONDS = 15.0
_log = logging.getLogger(__name__)


def make_app(service: Any) -> Any:
    """Put page, API and routes together behind the guard.

    Args:
        service: A `separate.app.jobs.service.Service`.

    Returns:
        An ASGI application.
    """
    _quiet_gradio()
    import gradio as gr
    from fastapi import FastAPI

    from separate.app.http.errors import add_handlers
    from separate.app.http.guard import Guard
    from separate.app.http.routes import make_router
    from separate.app.page import head, make_page, theme

    own = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    own.include_router(make_router(service))
    add_handlers(own, service.store.root)

    page = make_page(service)
    page.queue(max_size=None, default_concurrency_limit=None)
    mounted = gr.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        page,
        path="/",
        root_path=service.config.root_path or None,
        footer_links=["api"],
        run_history=False,
        ssr_mode=False,
        enable_monitoring=False,
        show_error=True,
        max_file_size=1,  # nothing is uploaded through Gradio
        theme=theme(),
        head=head(service),
    )
    return Guard(own, mounted, service.config, service.store)


def _quiet_gradio() -> None:
    """Keep Gradio from asking other hosts, and from counting anything."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("DO_NOT_TRACK", "1")


def run_server(config: ServeConfig) -> None:
    """Serve until interrupted, then delete all files.

    Raises:
        SettingsError: The port is taken, or there is no such address here.
    """
    import uvicorn

    from separate.app.jobs.service import Service

    listener = _bind(config)
    service = Service(config)
    try:
        app = make_app(service)
        _start_sweeping(service)
        _say_where(config, listener.getsockname()[1])
        server = uvicorn.Server(
            uvicorn.Config(
                app, log_level="warning", timeout_graceful_shutdown=2, server_header=False
            )
        )
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
    finally:
        service.close()
        listener.close()


def _bind(config: ServeConfig) -> Any:
    """Take the port before anything is loaded: a taken one is told at once."""
    import socket

    from separate.errors import SettingsError

    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise SettingsError(
            f"--host {config.host} --port {config.port}: {reason}; take another port"
        ) from error
    return listener


def _start_sweeping(service: Any) -> None:
    def sweep() -> None:
        while True:
            threading.Event().wait(_SWEEP_SECONDS)
            try:
                service.store.sweep()
            except OSError as error:
                _log.warning("old files could not be deleted: %s", error)

    threading.Thread(target=sweep, daemon=True).start()


def _say_where(config: ServeConfig, port: int) -> None:
    host = "127.0.0.1" if config.host in ("0.0.0.0", "::") else config.host
    host = f"[{host}]" if ":" in host else host
    print(f"http://{host}:{port}{config.root_path}/", flush=True)
