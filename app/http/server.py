"""Build the ASGI application and run the server."""

import ipaddress
import logging
import os
import sys
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
    from separate.app.http.metrics import add_metrics
    from separate.app.http.reference import add_reference
    from separate.app.http.routes import make_router
    from separate.app.page import head, make_page, theme

    own = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    own.include_router(make_router(service))
    add_handlers(own, service.store.root)
    add_metrics(own, service)
    add_reference(own, service.config.root_path)

    page = make_page(service)
    page.queue(max_size=None, default_concurrency_limit=None)
    mounted = gr.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        page,
        path="/",
        root_path=service.config.root_path or None,
        footer_links=[],  # the snippets of Gradio's API page know no sessions; ours is /reference
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
        options = uvicorn.Config(
            app, log_level="warning", timeout_graceful_shutdown=2, server_header=False
        )
        server = _server(options, service)
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
    finally:
        service.close()
        listener.close()


def _server(options: Any, service: Any) -> Any:
    """Return a server that ends streams of events when it is told to stop."""
    import uvicorn

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: Any) -> None:
            service.closing.set()
            super().handle_exit(sig, frame)

        async def shutdown(self, sockets: Any = None) -> None:
            options.app.close()
            await super().shutdown(sockets)

    return Server(options)


def _bind(config: ServeConfig) -> Any:
    """Bind the port before models are loaded, so that a port in use fails at once."""
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
    """Print the address, for all of a network also the one that others use, and warn."""
    is_open = config.host in ("0.0.0.0", "::")
    hosts = ["::1" if config.host == "::" else "127.0.0.1"] if is_open else [config.host]
    if is_open and (near := _address_in_network(config.host)) not in (None, *hosts):
        hosts.append(str(near))
    for host in hosts:
        shown = f"[{host}]" if ":" in host else host
        print(f"http://{shown}:{port}{config.root_path}/", flush=True)
    if not config.accounts and not _is_loopback(config.host):
        print(
            "warning: whoever reaches this address can use the server; --auth asks for a login",
            file=sys.stderr,
            flush=True,
        )


def _address_in_network(host: str) -> str | None:
    """Return this machine's address in its network; nothing is sent to find it."""
    import socket

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    elsewhere = "2001:db8::1" if ":" in host else "192.0.2.1"  # documentation's: nobody's
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((elsewhere, 9))
            return str(probe.getsockname()[0])
    except OSError:  # there is no network
        return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
