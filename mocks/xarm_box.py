"""An xArm control box on loopback for the vendor's unmodified SDK: a rehearsal of the wire, not of the motors.

    box = XArmBox()                              # its own 127.x.y.z, as many at once as wanted
    with box, sdk_control_port(box.control_port):
        arm = XArmAPI(box.host, is_radian=True)

It speaks the command channel, the three report streams with their exact sizes, and feedback frames; behind it stands
a ``world`` (``deft_mocks.xarm.ArmWorld``): the kinematic default or, later, a physics scene. One thread does
everything, so a world needs no locks. ``faults`` makes things go wrong by world step or by command
(``deft_mocks.xarm.Fault``).

Time: ``time_scale`` 1 is real time, 20 is twenty times faster, ``math.inf`` is lockstep: queued motions play as fast
as the world can be stepped, a servo command advances the world by exactly ``servo_period_s`` before it is answered,
and otherwise time stands still. In lockstep the same commands give the same joints, whatever the machine does.
Reports, late answers and the SDK's own waits stay in wall time.

Ports: the command channel is 502 on a real box, a privileged port; here it is 15020 and ``sdk_control_port`` tells
the SDK (process-wide, it is a class constant), or ``uds=True`` also serves the Unix socket that the SDK looks for
first on Linux (one such box per machine: its path has no address in it). The report ports are fixed inside the SDK.

What is simplified is listed in ``deft_mocks.xarm.controller``. Not there at all: modes other than position and servo,
circles, blending, trajectories, tool and box I/O, grippers, force sensor, standard Modbus (such a connection is
closed), the 200 Hz stream.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import selectors
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from deft_mocks.xarm import wire
from deft_mocks.xarm.controller import Controller
from deft_mocks.xarm.faults import Fault, FaultPlan
from deft_mocks.xarm.registers import Registers
from deft_mocks.xarm.world import ArmWorld, KinematicWorld

CONTROL_PORT: Final = 15020
REPORT_PORTS: Final = tuple(wire.REPORT_BYTES)
REAL_REPORT_S: Final = 0.01
_STEPS_AT_ONCE: Final = 50
_IDLE_S: Final = 0.05


@contextlib.contextmanager
def sdk_control_port(port: int = CONTROL_PORT) -> Iterator[None]:
    """Makes the vendor's SDK look for the command channel on ``port`` in this whole process, until left."""
    from xarm.core.config.x_config import XCONF

    before = XCONF.SocketConf.TCP_CONTROL_PORT
    XCONF.SocketConf.TCP_CONTROL_PORT = port
    try:
        yield
    finally:
        XCONF.SocketConf.TCP_CONTROL_PORT = before


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


class XArmBox:
    """A control box; ``start`` or ``with`` opens its ports, ``close`` shuts them.

    Attributes:
        host: dotted address to connect to.
        control_port: of the command channel.
        controller: the box's insides, to look at; use the methods here to interfere.
    """

    def __init__(
        self,
        host: str | None = None,
        *,
        world: ArmWorld | None = None,
        faults: Iterable[Fault] = (),
        time_scale: float = 1.0,
        dt_s: float = 0.004,
        servo_period_s: float = 0.02,
        report_period_s: float = 0.2,
        report_on_change: bool = True,
        free_running: bool = False,
        control_port: int = CONTROL_PORT,
        firmware: str = "v2.5.5",
        uds: bool = False,
    ) -> None:
        """A box that is not yet listening.

        Args:
            host: loopback address; None picks a free one out of 127/8 (only Linux has more than 127.0.0.1).
            world: what moves; None for free air.
            faults: what goes wrong, and when.
            time_scale: simulated seconds a wall second; ``math.inf`` for lockstep.
            dt_s: one world step, s.
            servo_period_s: what a servo command is worth in lockstep, s.
            report_period_s: wall time between reports of the normal and rich streams (a real box: 0.2).
            report_on_change: also report at once when state, error or settings change; a real box does not.
            free_running: step the world while the arm stands still, too.
            control_port: TCP port of the command channel.
            firmware: version it claims, "v<major>.<minor>.<revision>"; the SDK speaks differently to older ones.
            uds: also serve the command channel on the SDK's Unix socket for port 502.
        """
        if not (time_scale > 0.0 and dt_s > 0.0 and servo_period_s > 0.0 and report_period_s > 0.0):
            raise ValueError("time_scale, dt_s, servo_period_s and report_period_s must be positive")
        self.host, self.control_port = host or "", control_port
        self.plan = FaultPlan(faults)
        self.controller = Controller(
            world or KinematicWorld(), self.plan, dt_s=dt_s, firmware=firmware, lockstep=math.isinf(time_scale)
        )
        self._scale, self._dt = time_scale, dt_s
        self._servo_steps = max(1, round(servo_period_s / dt_s))
        self._period, self._on_change, self._free = report_period_s, report_on_change, free_running
        self._uds = "/tmp/xarmcontroller_uds_502" if uds else ""
        self._selector = selectors.DefaultSelector()
        self._commands: dict[int, tuple[socket.socket, Registers, bytearray]] = {}
        self._reports: dict[int, tuple[socket.socket, int]] = {}
        self._late: list[tuple[float, int, bytes]] = []
        self._silent = False
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._lock = threading.RLock()
        self._debt_s = 0.0
        self.crash: BaseException | None = None

    # --- life -------------------------------------------------------------------------------------------------------
    def start(self) -> Self:
        """Opens the ports and starts the box's thread."""
        if self._thread is not None:
            return self
        listeners = self._open_ports()
        for sock, port in listeners:
            sock.settimeout(None)  # the SDK sets a process-wide default of 1 s
            self._selector.register(sock, selectors.EVENT_READ, ("listen", port))
        self._wake_r, self._wake_w = socket.socketpair()
        self._selector.register(self._wake_r, selectors.EVENT_READ, ("wake", 0))
        self._thread = threading.Thread(target=self._run, name=f"xarm-box-{self.host}", daemon=True)
        self._thread.start()
        return self

    def _open_ports(self) -> list[tuple[socket.socket, int]]:
        for attempt in range(50):
            host = self.host or f"127.{random.randint(1, 254)}.{random.randint(0, 254)}.{random.randint(1, 254)}"
            out: list[tuple[socket.socket, int]] = []
            try:
                for port in (self.control_port, *REPORT_PORTS):
                    out.append((_listen(host, port), port))
            except OSError as error:
                for sock, _ in out:
                    sock.close()
                if self.host or attempt == 49:
                    raise OSError(f"host {host}: port {port} cannot be opened ({error}); pass another host") from error
                continue
            self.host = host
            if self._uds:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._uds)
                unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                unix.bind(self._uds)
                unix.listen(8)
                out.append((unix, self.control_port))
            return out
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Closes every connection and port; may be called twice. Raises what the box's thread died of."""
        if self._thread is None:
            return
        self._stop.set()
        self._wake()
        self._thread.join()
        self._thread = None
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()
        self._wake_w.close()
        if self._uds:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._uds)
        if self.crash is not None:
            raise RuntimeError("the box's thread died") from self.crash

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- interfering ------------------------------------------------------------------------------------------------
    def collide(self) -> None:
        """Controller error 31 now."""
        self.fail(31)

    def fail(self, code: int) -> None:
        """Any controller error now."""
        with self._lock:
            self.controller.fail(code, "injected")
        self._wake()

    def press_estop(self) -> None:
        """Presses the emergency button."""
        with self._lock:
            self.controller.press_estop()
        self._wake()

    def release_estop(self) -> None:
        """Releases the emergency button; the error stays until it is cleared."""
        with self._lock:
            self.controller.release_estop()

    def inject(self, fault: Fault) -> None:
        """Adds a fault whose step or command counts from now."""
        with self._lock:
            self.plan.add(fault)

    def cut(self) -> None:
        """Closes all TCP connections; the ports stay open for new ones."""
        with self._lock:
            self.controller.cut_requested = True
        self._wake()

    def silence(self, on: bool = True) -> None:
        """Stops (or resumes) answering commands; connections and reports stay."""
        with self._lock:
            self._silent = on

    def joints(self) -> NDArray[np.float64]:
        """Where the arm really is: (6,), rad."""
        with self._lock:
            return self.controller.world.get_joints()

    # --- the thread -------------------------------------------------------------------------------------------------
    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._wake_w.send(b"x")

    def _run(self) -> None:
        try:
            self._loop()
        except BaseException as error:
            self.crash = error
            with self._lock:
                self._drop_all()

    def _loop(self) -> None:
        last = time.monotonic()
        due = dict.fromkeys(REPORT_PORTS, last)
        while not self._stop.is_set():
            with self._lock:
                moving = self.controller.active or self._free
            now = time.monotonic()
            wait = min([*due.values(), *(at for at, _, _ in self._late)]) - now
            if moving:
                wait = min(wait, 0.0 if math.isinf(self._scale) else max(self._dt / self._scale, 0.001))
            events = self._selector.select(max(0.0, min(wait, _IDLE_S)))
            with self._lock:
                for key, _ in events:
                    self._on_readable(key)
                now = time.monotonic()
                self._advance(now - last, moving)
                last = now
                self._send_late(now)
                if self.controller.cut_requested:
                    self.controller.cut_requested = False
                    self._drop_all()
                for connection, frame in self.controller.outbox:
                    self._send(connection, frame)
                self.controller.outbox.clear()
                for port in REPORT_PORTS:
                    urgent = self._on_change and self.controller.urgent
                    if urgent or now >= due[port]:
                        due[port] = now + (REAL_REPORT_S if port == 30003 and self._subscribed(port) else self._period)
                        self._report(port)
                self.controller.urgent = False

    def _advance(self, wall_s: float, was_moving: bool) -> None:
        if math.isinf(self._scale):
            for _ in range(_STEPS_AT_ONCE):
                if not self.controller.active:
                    break
                self.controller.tick()
            return
        self._debt_s = min(self._debt_s + wall_s * self._scale, _STEPS_AT_ONCE * self._dt) if was_moving else 0.0
        while self._debt_s >= self._dt and (self.controller.active or self._free):
            self._debt_s -= self._dt
            self.controller.tick()

    def _on_readable(self, key: selectors.SelectorKey) -> None:
        kind, value = key.data
        sock = key.fileobj
        assert isinstance(sock, socket.socket)
        if kind == "listen":
            self._accept(sock, value)
        elif kind == "wake":
            sock.recv(64)
        else:
            try:
                data = sock.recv(4096)
            except OSError:
                data = b""
            if not data:
                self._drop(sock)
            elif kind == "command":
                self._receive(value, data)

    def _accept(self, listener: socket.socket, port: int) -> None:
        sock, _ = listener.accept()
        sock.settimeout(0.5)
        if sock.family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        fd = sock.fileno()
        if port == self.control_port:
            self._commands[fd] = (sock, Registers(self.controller, fd), bytearray())
            self._selector.register(sock, selectors.EVENT_READ, ("command", fd))
        else:
            self._reports[fd] = (sock, port)
            self._selector.register(sock, selectors.EVENT_READ, ("report", fd))
            self._report(port)

    def _receive(self, connection: int, data: bytes) -> None:
        sock, registers, buffer = self._commands[connection]
        buffer += data
        try:
            requests = wire.split(buffer)
        except wire.BadFrame:
            self._drop(sock)
            return
        for request in requests:
            self._execute(connection, registers, request)

    def _execute(self, connection: int, registers: Registers, request: wire.Request) -> None:
        faults = self.plan.on_command(request.register)
        kinds = {fault.kind for fault in faults}
        for fault in faults:
            if fault.kind == "cut":
                self._drop_all()
                return
            if fault.kind in ("collision", "error"):
                self.controller.fail(31 if fault.kind == "collision" else fault.code, "scripted")
            elif fault.kind == "warning":
                self.controller.warning = fault.code
            elif fault.kind == "estop":
                self.controller.press_estop()
        status, payload = registers.answer(request)
        if math.isinf(self._scale) and request.register in (wire.Register.MOVE_SERVOJ, wire.Register.MOVE_SERVO_CART):
            for _ in range(self._servo_steps):
                if self.controller.run == "ready":
                    self.controller.tick()
            status = self.controller.status() | (status & 0x18)
        if self._silent or "silent" in kinds:
            return
        if "truncated" in kinds:
            payload = payload[: len(payload) // 2]
        if "stray_id" in kinds:
            request = wire.Request((request.transaction + 7) % 65536, request.protocol, request.register, b"")
        if "stray_protocol" in kinds:
            request = wire.Request(request.transaction, 9, request.register, b"")
        answer = wire.reply(request, status, payload)
        delay = max((fault.delay_s for fault in faults if fault.kind == "late"), default=0.0)
        if delay > 0.0:
            self._late.append((time.monotonic() + delay, connection, answer))
        else:
            self._send(connection, answer)

    def _send_late(self, now: float) -> None:
        for item in [late for late in self._late if late[0] <= now]:
            self._late.remove(item)
            self._send(item[1], item[2])

    def _send(self, connection: int, data: bytes) -> None:
        if connection in self._commands:
            sock = self._commands[connection][0]
            try:
                sock.sendall(data)
            except OSError:
                self._drop(sock)

    def _subscribed(self, port: int) -> bool:
        return any(p == port for _, p in self._reports.values())

    def _report(self, port: int) -> None:
        if not self._subscribed(port):
            return
        frame = wire.report(port, self.controller.snapshot())
        for sock, p in list(self._reports.values()):
            if p == port:
                try:
                    sock.sendall(frame)
                except OSError:
                    self._drop(sock)

    def _drop(self, sock: socket.socket) -> None:
        fd = sock.fileno()
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(sock)
        self._commands.pop(fd, None)
        self._reports.pop(fd, None)
        self._late = [late for late in self._late if late[1] != fd]
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()

    def _drop_all(self) -> None:
        for sock in [s for s, _, _ in self._commands.values()] + [s for s, _ in self._reports.values()]:
            self._drop(sock)
