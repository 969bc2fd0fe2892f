"""The sockets of the stand-in: command connections, report subscribers, late answers. No controller in here."""

from __future__ import annotations

import contextlib
import os
import random
import selectors
import socket
import time
from collections.abc import Callable
from typing import Final

from deft_mocks.xarm import wire
from deft_mocks.xarm.wire import Request

REPORT_PORTS: Final = tuple(wire.REPORT_BYTES)
UDS_PATH: Final = "/tmp/xarmcontroller_uds_502"
"""Where the vendor's SDK looks before it opens TCP port 502 on Linux."""
_TRIES: Final = 50
_SEND_TIMEOUT_S: Final = 0.5


class Server:
    """Ports and connections, driven by ``poll``; everything but ``wake`` belongs to one thread.

    Attributes:
        host: address in use.
    """

    def __init__(
        self,
        host: str,
        control_port: int,
        *,
        uds: bool,
        on_request: Callable[[int, Request], None],
        on_subscriber: Callable[[int], None],
    ) -> None:
        """Opens the ports.

        Args:
            host: loopback address; empty picks a free one out of 127/8.
            control_port: of the command channel.
            uds: serve the SDK's Unix socket as well.
            on_request: called with (connection, request).
            on_subscriber: called with the port of a new report subscriber.
        """
        self._control_port, self._uds = control_port, UDS_PATH if uds else ""
        self._on_request, self._on_subscriber = on_request, on_subscriber
        self._selector = selectors.DefaultSelector()
        self._commands: dict[int, tuple[socket.socket, bytearray]] = {}
        self._reports: dict[int, tuple[socket.socket, int]] = {}
        self._late: list[tuple[float, int, bytes]] = []
        self._count = 0
        self.host, listeners = self._open_ports(host)
        for sock, port in listeners:
            sock.settimeout(None)  # the SDK sets a process-wide default of 1 s
            self._selector.register(sock, selectors.EVENT_READ, ("listen", port))
        self._wake_r, self._wake_w = socket.socketpair()
        self._selector.register(self._wake_r, selectors.EVENT_READ, ("wake", 0))

    def _open_ports(self, wanted: str) -> tuple[str, list[tuple[socket.socket, int]]]:
        for attempt in range(_TRIES):
            host = wanted or f"127.{random.randint(1, 254)}.{random.randint(0, 254)}.{random.randint(1, 254)}"
            out: list[tuple[socket.socket, int]] = []
            try:
                for port in (self._control_port, *REPORT_PORTS):
                    out.append((_listen(host, port), port))
            except OSError as error:
                for sock, _ in out:
                    sock.close()
                if wanted or attempt == _TRIES - 1:
                    raise OSError(f"host {host}: port {port} cannot be opened ({error}); pass another host") from error
                continue
            if self._uds:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._uds)
                unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                unix.bind(self._uds)
                unix.listen(8)
                out.append((unix, self._control_port))
            return host, out
        raise AssertionError("the loop above returns or raises")

    def close(self) -> None:
        """Closes everything."""
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()
        self._wake_w.close()
        if self._uds:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._uds)

    def wake(self) -> None:
        """Ends a ``wait``; from any thread."""
        with contextlib.suppress(OSError):
            self._wake_w.send(b"x")

    def wait(self, timeout_s: float) -> list[selectors.SelectorKey]:
        """What became readable within ``timeout_s``, or before the next late answer is due."""
        due = min((at for at, _, _ in self._late), default=float("inf")) - time.monotonic()
        return [key for key, _ in self._selector.select(max(0.0, min(timeout_s, due)))]

    def handle(self, keys: list[selectors.SelectorKey]) -> None:
        """Accepts, reads and hands on what ``wait`` found; sends what was late."""
        for key in keys:
            sock, (kind, value) = key.fileobj, key.data
            assert isinstance(sock, socket.socket)
            if kind == "listen":
                self._accept(sock, value)
            elif kind == "wake":
                sock.recv(64)
            else:
                self._read(sock, kind, value)
        now = time.monotonic()
        for item in [late for late in self._late if late[0] <= now]:
            self._late.remove(item)
            self.send(item[1], item[2])

    def send(self, connection: int, data: bytes, delay_s: float = 0.0) -> None:
        """Sends to a command connection, now or later; a connection that is gone is ignored."""
        if delay_s > 0.0:
            self._late.append((time.monotonic() + delay_s, connection, data))
        elif connection in self._commands:
            sock = self._commands[connection][0]
            try:
                sock.sendall(data)
            except OSError:
                self._drop(sock)

    def subscribed(self, port: int) -> bool:
        """Whether anybody listens to the reports of ``port``."""
        return any(p == port for _, p in self._reports.values())

    def publish(self, port: int, frame: bytes) -> None:
        """Sends a report to all its subscribers."""
        for sock, p in list(self._reports.values()):
            if p == port:
                try:
                    sock.sendall(frame)
                except OSError:
                    self._drop(sock)

    def drop_all(self) -> None:
        """Closes all connections; the ports stay open."""
        for sock in [s for s, _ in self._commands.values()] + [s for s, _ in self._reports.values()]:
            self._drop(sock)

    def _accept(self, listener: socket.socket, port: int) -> None:
        sock, _ = listener.accept()
        sock.settimeout(_SEND_TIMEOUT_S)
        if sock.family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if port == self._control_port:
            self._count += 1  # not the file descriptor: the system gives those out again
            self._commands[self._count] = (sock, bytearray())
            self._selector.register(sock, selectors.EVENT_READ, ("command", self._count))
        else:
            self._count += 1
            self._reports[self._count] = (sock, port)
            self._selector.register(sock, selectors.EVENT_READ, ("report", self._count))
            self._on_subscriber(port)

    def _read(self, sock: socket.socket, kind: str, connection: int) -> None:
        if sock.fileno() < 0:  # dropped by an earlier event of the same round
            return
        try:
            data = sock.recv(4096)
        except OSError:
            data = b""
        if not data:
            self._drop(sock)
        elif kind == "command":
            buffer = self._commands[connection][1]
            buffer += data
            try:
                requests = wire.split(buffer)
            except wire.BadFrame:
                self._drop(sock)
                return
            for request in requests:
                self._on_request(connection, request)

    def _drop(self, sock: socket.socket) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(sock)
        self._commands = {k: v for k, v in self._commands.items() if v[0] is not sock}
        self._reports = {k: v for k, v in self._reports.items() if v[0] is not sock}
        self._late = [late for late in self._late if late[1] in self._commands]
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()


def _listen(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(8)
    except OSError:
        sock.close()
        raise
    return sock
