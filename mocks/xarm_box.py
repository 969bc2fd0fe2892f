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
from deft_mocks.xarm.server import REPORT_PORTS, Server
from deft_mocks.xarm.world import ArmWorld, KinematicWorld

CONTROL_PORT: Final = 15020
_FAST_PORT: Final = 30003
_FAST_REPORT_S: Final = 0.01
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
        self._uds = uds
        self._server: Server | None = None
        self._registers: dict[int, Registers] = {}
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
        self._server = Server(
            self.host, self.control_port, uds=self._uds, on_request=self._execute, on_subscriber=self._report
        )
        self.host = self._server.host
        self._thread = threading.Thread(target=self._run, name=f"xarm-box-{self.host}", daemon=True)
        self._thread.start()
        return self

    def close(self) -> None:
        """Closes every connection and port; may be called twice. Raises what the box's thread died of."""
        if self._thread is None:
            return
        self._stop.set()
        self._wake()
        self._thread.join()
        self._thread = None
        if self._server is not None:
            self._server.close()
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

    def clear_faults(self) -> None:
        """Forgets every fault that was still to come."""
        with self._lock:
            self.plan = self.controller.faults = FaultPlan()

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
        if self._server is not None:
            self._server.wake()

    def _run(self) -> None:
        server = self._server
        assert server is not None, "start() opens the ports first"
        try:
            self._loop(server)
        except BaseException as error:
            self.crash = error
            with self._lock:
                server.drop_all()

    def _loop(self, server: Server) -> None:
        last = time.monotonic()
        due = dict.fromkeys(REPORT_PORTS, last)
        while not self._stop.is_set():
            with self._lock:
                moving = self.controller.active or self._free
            wait = min(_IDLE_S, *(at - time.monotonic() for at in due.values()))
            if moving:
                wait = min(wait, 0.0 if self.controller.lockstep else max(self._dt / self._scale, 0.001))
            keys = server.wait(wait)
            with self._lock:
                server.handle(keys)
                now = time.monotonic()
                self._advance(now - last, moving)
                last = now
                if self.controller.cut_requested:
                    self.controller.cut_requested = False
                    server.drop_all()
                for connection, frame in self.controller.outbox:
                    server.send(connection, frame)
                self.controller.outbox.clear()
                urgent = self._on_change and self.controller.urgent
                self.controller.urgent = False
                for port in REPORT_PORTS:
                    if urgent or now >= due[port]:
                        fast = port == _FAST_PORT and server.subscribed(port)
                        due[port] = now + (_FAST_REPORT_S if fast else self._period)
                        self._report(port)

    def _advance(self, wall_s: float, was_moving: bool) -> None:
        if self.controller.lockstep:
            for _ in range(_STEPS_AT_ONCE):
                if not self.controller.active:
                    break
                self.controller.tick()
            return
        self._debt_s = min(self._debt_s + wall_s * self._scale, _STEPS_AT_ONCE * self._dt) if was_moving else 0.0
        while self._debt_s >= self._dt and (self.controller.active or self._free):
            self._debt_s -= self._dt
            self.controller.tick()

    def _report(self, port: int) -> None:
        assert self._server is not None, "only subscribers ask"
        if self._server.subscribed(port):
            self._server.publish(port, wire.report(port, self.controller.snapshot()))

    def _execute(self, connection: int, request: wire.Request) -> None:
        server, controller = self._server, self.controller
        assert server is not None, "requests come from the server"
        faults = self.plan.on_command(request.register)
        kinds = {fault.kind for fault in faults}
        if "cut" in kinds:
            server.drop_all()
            return
        for fault in faults:
            if fault.kind in ("collision", "error"):
                controller.fail(31 if fault.kind == "collision" else fault.code, "scripted")
            elif fault.kind == "warning":
                controller.warning = fault.code
            elif fault.kind == "estop":
                controller.press_estop()
        registers = self._registers.setdefault(connection, Registers(controller, connection))
        status, payload = registers.answer(request)
        if controller.lockstep and request.register in (wire.Register.MOVE_SERVOJ, wire.Register.MOVE_SERVO_CART):
            for _ in range(self._servo_steps if not status & 0x58 else 0):
                if controller.run == "ready":
                    controller.tick()
            status |= controller.status()
        if self._silent or "silent" in kinds:
            return
        if "truncated" in kinds:
            payload = payload[: len(payload) // 2]
        if "stray_id" in kinds:
            request = wire.Request((request.transaction + 7) % 65536, request.protocol, request.register, b"")
        if "stray_protocol" in kinds:
            request = wire.Request(request.transaction, 9, request.register, b"")
        delay_s = max((fault.delay_s for fault in faults if fault.kind == "late"), default=0.0)
        server.send(connection, wire.reply(request, status, payload), delay_s)
