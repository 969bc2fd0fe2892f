"""A Dynamixel bus on a pseudo-terminal: the real ``dynamixel_sdk`` opens it like any serial port.

The mock answers Protocol 2.0 to the byte (``dynamixel_wire``, ``dynamixel_answers``), keeps a control table per motor
(``dynamixel_motor``), and injects faults, seeded. Behind the motors stands a pluggable world (``MotorWorld``).

Time is the bus's own unless ``clock`` is given: every instruction that arrives advances the world by ``tick_s``, so
that tests neither sleep nor depend on the load of the machine.
"""

from __future__ import annotations

import errno
import os
import select
import termios
import threading
import tty
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from deft_env.episode import generator
from deft_mocks import dynamixel_answers
from deft_mocks.dynamixel_motor import ITEMS, OVERLOAD, MockMotor, MotorWorld, SimpleWorld
from deft_mocks.dynamixel_wire import Decoder, Packet

_SPEEDS: Final = {
    getattr(termios, f"B{rate}"): rate
    for rate in (9600, 57600, 115200, 1_000_000, 2_000_000, 3_000_000, 4_000_000)
    if hasattr(termios, f"B{rate}")
}
WATCHDOG_UNIT_S: Final = 0.02


@dataclass(slots=True)
class BusFaults:
    """What goes wrong on the wire. Rates are per status packet, drawn from the bus's seed.

    Attributes:
        dead: ids that never answer and never move.
        corrupt_rate: share of status packets with one flipped byte.
        drop_rate: share of status packets that never arrive.
        corrupt_next: this many status packets from now are corrupted, whatever the rate.
        drop_next: this many status packets from now are dropped.
    """

    dead: set[int] = field(default_factory=set)
    corrupt_rate: float = 0.0
    drop_rate: float = 0.0
    corrupt_next: int = 0
    drop_next: int = 0


class MockDynamixelBus:
    """Motors on a pseudo-terminal; use it as a context manager and open ``path`` with the SDK.

    Attributes:
        path: the terminal to open, such as ``/dev/pts/3``.
        motors: id -> motor, whose ``get`` and ``set`` tests may use.
        faults: may be changed at any time.
        log: every instruction that a motor could read.
    """

    def __init__(
        self,
        ids: Iterable[int] = range(1, 13),
        *,
        baud: int = 57600,
        world: MotorWorld | None = None,
        seed: int = 0,
        tick_s: float = 0.01,
        clock: Callable[[], float] | None = None,
        link: str | os.PathLike[str] | None = None,
    ) -> None:
        """Opens the terminal and starts to answer.

        Args:
            ids: motor ids on the bus.
            baud: the rate that the motors listen at, bit/s; another rate at the client's end is met with silence.
            world: what moves the fingers; ``SimpleWorld`` by default.
            seed: of the random faults.
            tick_s: world time per instruction, when ``clock`` is None.
            clock: a monotonic clock in seconds for a world that runs in real time.
            link: makes this path a symbolic link to the terminal, for configurations that need a stable name.

        Raises:
            OSError: where the platform has no pseudo-terminals.
        """
        self.motors = {motor: MockMotor(motor, baud=baud) for motor in ids}
        self.world: MotorWorld = world if world is not None else SimpleWorld()
        self.faults = BusFaults()
        self.log: list[Packet] = []
        self._random = generator("mock", "dynamixel", seed)
        self._tick_s, self._clock = tick_s, clock
        self._now_s = clock() if clock else 0.0
        self._heard_s = self._now_s
        self._lock = threading.RLock()
        self._master, self._slave = os.openpty()
        tty.setraw(self._master)
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self._link = os.fspath(link) if link is not None else None
        if self._link is not None:
            os.symlink(self.path, self._link)
            self.path = self._link
        self._wake, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._serve, name="mock-dynamixel", daemon=True)
        self._settle(0.0)
        self._thread.start()

    # --- for tests ----------------------------------------------------------------------------------------------------
    def overload(self, motor: int) -> None:
        """The motor strains for too long: overload alert, torque off until it is rebooted."""
        with self._lock:
            self.motors[motor].trip(OVERLOAD)

    def heat(self, motor: int, celsius: int) -> None:
        """Sets a motor's temperature; above its limit it shuts down."""
        with self._lock:
            self.motors[motor].set("temperature", celsius)
            self.motors[motor].trip_if_hot()

    def advance(self, dt_s: float) -> None:
        """Lets time pass with nothing on the bus: worlds move, watchdogs trip."""
        with self._lock:
            self._settle(dt_s)

    # --- life ---------------------------------------------------------------------------------------------------------
    def close(self) -> None:
        """Stops answering and frees the terminal; may be called twice."""
        if self._thread.is_alive():
            os.write(self._stop, b"x")
            self._thread.join()
            for fd in (self._master, self._slave, self._wake, self._stop):
                os.close(fd)
            if self._link is not None and os.path.islink(self._link):
                os.unlink(self._link)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _serve(self) -> None:
        decoder = Decoder()
        while True:
            ready, _, _ = select.select([self._master, self._wake], [], [])
            if self._wake in ready:
                return
            try:
                data = os.read(self._master, 4096)
            except OSError as error:
                if error.errno == errno.EIO:
                    continue
                raise
            rate = _SPEEDS.get(termios.tcgetattr(self._master)[5], 0)
            for packet in decoder.feed(data):
                with self._lock:
                    reply = self._answer(packet, rate)
                if reply:
                    os.write(self._master, reply)

    # --- time ---------------------------------------------------------------------------------------------------------
    def _settle(self, dt_s: float) -> None:
        self._now_s += dt_s
        alive = {m.id: m for i, m in self.motors.items() if i not in self.faults.dead}
        for motor in alive.values():
            watchdog = motor.get("watchdog")
            if watchdog > 0 and self._now_s - self._heard_s > watchdog * WATCHDOG_UNIT_S:
                motor.trip_watchdog()
        readings = self.world.step({i: m.goal() for i, m in alive.items()}, dt_s)
        for i, motor in alive.items():
            motor.take(readings[i], self._now_s)

    def _pass_time(self) -> None:
        self._settle(self._tick_s if self._clock is None else max(0.0, self._clock() - self._now_s))
        self._heard_s = self._now_s

    # --- instructions -------------------------------------------------------------------------------------------------
    def _listening(self, rate: int) -> dict[int, MockMotor]:
        return {m.id: m for i, m in self.motors.items() if i not in self.faults.dead and m.baud == rate}

    def _answer(self, packet: Packet, rate: int) -> bytes:
        motors = self._listening(rate)
        if not motors:
            return b""
        self._pass_time()
        self.log.append(packet)
        return self._send(dynamixel_answers.replies(packet, motors))

    def _send(self, replies: list[bytes]) -> bytes:
        out = bytearray()
        for reply in replies:
            drop, corrupt = self._random.random(2)
            if self.faults.drop_next > 0 or drop < self.faults.drop_rate:
                self.faults.drop_next = max(0, self.faults.drop_next - 1)
                continue
            if self.faults.corrupt_next > 0 or corrupt < self.faults.corrupt_rate:
                self.faults.corrupt_next = max(0, self.faults.corrupt_next - 1)
                at = int(self._random.integers(8, len(reply)))
                reply = reply[:at] + bytes([reply[at] ^ 0x40]) + reply[at + 1 :]
            out += reply
        return bytes(out)


__all__ = ["ITEMS", "BusFaults", "MockDynamixelBus", "MotorWorld", "SimpleWorld"]
