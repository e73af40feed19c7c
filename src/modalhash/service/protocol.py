"""Connections: a client must send its headers in time, and idle connections make room for new ones."""

from __future__ import annotations

import asyncio
import json
import socket

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from modalhash.service.problems import MEDIA_TYPE, Problem
from modalhash.service.settings import Settings


class Connection(H11Protocol):
    """uvicorn's connection with a time limit on headers and a limit on open connections."""

    settings: Settings
    opened: dict[Connection, None]  # all of a service, the oldest first
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """Start the clock, and close the oldest idle connection where there are too many."""
        super().connection_made(transport)
        transport.get_extra_info("socket").setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )  # head, body: 2 packets
        self._watch(new=True)
        self.opened[self] = None
        if len(self.opened) > self.settings.connections:
            oldest = next(one for one in self.opened if one is self or one.is_idle)
            if oldest is self:
                self._refuse(Problem(429, "too many connections", {"Retry-After": "1"}))
            else:
                del self.opened[oldest]
                oldest.transport.abort()

    @property
    def is_idle(self) -> bool:
        """No request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def data_received(self, data: bytes) -> None:
        """Take what arrived; the clock runs while headers are not whole."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Wait for the next request of this connection."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_watching()
        self.opened.pop(self, None)
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP with a problem document."""
        self._refuse(Problem(400, msg))

    def _watch(self, new: bool = False) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._stop_watching()
        elif self._late is None and (new or self.conn.trailing_data[0]):
            self._late = self.loop.call_later(self.settings.header_seconds, self._too_slow)

    def _stop_watching(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _too_slow(self) -> None:
        self._refuse(Problem(408, f"the headers took longer than {self.settings.header_seconds:g} seconds"))

    def _refuse(self, problem: Problem) -> None:
        """Write a whole answer past the state machine, and close."""
        self._stop_watching()
        if self.transport.is_closing():
            return
        body = json.dumps(problem.document()).encode()
        phrase = problem.document()["title"]
        lines = {**problem.headers, "Content-Type": MEDIA_TYPE, "Content-Length": len(body), "Connection": "close"}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.transport.write(f"HTTP/1.1 {problem.status} {phrase}\r\n{head}\r\n".encode() + body)
        self.transport.close()


def connections_of(settings: Settings) -> type[Connection]:
    """The class of connections with these settings."""
    return type("ServedConnection", (Connection,), {"settings": settings, "opened": {}})
