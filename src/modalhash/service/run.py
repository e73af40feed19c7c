"""Running the service: the address is checked first, then one process answers until it is told to stop."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from modalhash.service.app import create_app
from modalhash.service.pictures import guard_decoders
from modalhash.service.protocol import connections_of
from modalhash.service.settings import Settings
from modalhash.service.state import Served


class Server(uvicorn.Server):
    """uvicorn's server, which ends with exit code 0 when a signal tells it to stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGINT and SIGTERM: requests in flight are finished, new ones are not accepted."""
        before = {one: signal.signal(one, self.handle_exit) for one in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)


def check_address(settings: Settings) -> None:
    """ValueError for an address that others can reach where no keys are set."""
    if settings.key_file is None and not is_loopback(settings.host):
        raise ValueError(
            f"--host {settings.host}: others could reach it, and no key is set; give --key-file (see `modalhash key`), "
            "or leave out --host to serve this machine only"
        )


def is_loopback(host: str) -> bool:
    """True for addresses of this machine alone; names other than localhost are not looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def serve(settings: Settings, say: Callable[[str], None], served: Served | None = None) -> None:
    """Answer until SIGTERM or Ctrl-C; `say` is given the address once requests are taken.

    OSError where the address is taken, ValueError where the collection cannot be read.
    """
    check_address(settings)
    app = create_app(settings, served)  # reads the keys
    os.environ.setdefault("MODALHASH_THREADS", "1")  # one thread a search: searches run beside one another
    guard_decoders(settings.limits.pixels)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.create_server((settings.host, settings.port), family=family, backlog=1024) as listener:
        server = Server(
            uvicorn.Config(
                app,
                http=connections_of(settings),
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                lifespan="on",
                timeout_graceful_shutdown=int(settings.stop_seconds),
            )
        )
        app.state.service.on_failure = lambda: setattr(server, "should_exit", True)
        host = f"[{settings.host}]" if family == socket.AF_INET6 else settings.host
        say(f"http://{host}:{listener.getsockname()[1]}")
        server.run(sockets=[listener])
    if app.state.service.failure:
        raise ValueError(app.state.service.failure)
