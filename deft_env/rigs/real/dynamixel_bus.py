"""A Dynamixel bus through the vendor's ``dynamixel_sdk``: typed errors, retries, signed values, one lock.

The SDK returns codes and, on some faults, raises ``IndexError`` or hands out checksum bytes as data; all of that stops
here. Register addresses are those of the X series (checked against the SDK's own XC330-M288 table in the tests).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final


class HandError(RuntimeError):
    """Something is wrong with the hand; the message says what, where and what to do."""


class BusTimeout(HandError):
    """A motor, or the whole bus, did not answer."""


class BusCorrupt(HandError):
    """Answers arrived damaged, again and again."""


class BusDisconnected(HandError):
    """The serial port vanished or could not be opened."""


class MotorRefused(HandError):
    """A motor answered with an error: a value out of range, or a register locked while torque is on."""


class MotorAlert(HandError):
    """A motor reports a hardware alert and has dropped its torque."""


class WrongMotor(HandError):
    """A motor of another model, or a bus that is not the configured one."""


@dataclass(frozen=True, slots=True)
class Register:
    """A register of the X series: address, bytes, whether its value is signed."""

    address: int
    size: int
    signed: bool = False


REGISTERS: Final[dict[str, Register]] = {
    "model": Register(0, 2),
    "return_delay": Register(9, 1),
    "mode": Register(11, 1),
    "temperature_limit": Register(31, 1),
    "current_limit": Register(38, 2),
    "shutdown": Register(63, 1),
    "torque": Register(64, 1),
    "hardware_error": Register(70, 1),
    "position_d": Register(80, 2),
    "position_i": Register(82, 2),
    "position_p": Register(84, 2),
    "watchdog": Register(98, 1, signed=True),
    "goal_current": Register(102, 2, signed=True),
    "profile_velocity": Register(112, 4),
    "goal_position": Register(116, 4, signed=True),
    "current": Register(126, 2, signed=True),
    "velocity": Register(128, 4, signed=True),
    "position": Register(132, 4, signed=True),
    "temperature": Register(146, 1),
}

HARDWARE_ERRORS: Final = {
    0x01: "input voltage out of range",
    0x04: "overheating",
    0x08: "encoder fault",
    0x10: "electrical shock or too little power",
    0x20: "overload",
}
STATUS_ERRORS: Final = {
    1: "could not process the instruction",
    2: "does not know the instruction",
    3: "received a damaged instruction",
    4: "says the value is out of range",
    5: "says the length is wrong",
    6: "says the value exceeds its limit",
    7: "refuses access (registers below 64 are locked while torque is on)",
}
ALERT: Final = 0x80
LATE_ANSWER_S: Final = 0.03
"""Pause before a retry, about the SDK's own window for an answer (our choice)."""
_TIMEOUT, _CORRUPT = -3001, -3002
_ID, _LENGTH, _INSTRUCTION, _ERROR, _CHECKSUM = 4, 5, 7, 8, 2
"""Where things are in a status packet of Protocol 2.0; its length counts from the instruction, checksum included."""


def alert_words(bits: int) -> str:
    """Register 70 in words."""
    words = [text for bit, text in HARDWARE_ERRORS.items() if bits & bit]
    rest = bits & ~sum(HARDWARE_ERRORS)
    return " and ".join([*words, *([f"unknown bits 0x{rest:02x}"] if rest else [])]) or "no error"


def load_sdk() -> ModuleType:
    """Imports ``dynamixel_sdk``.

    Raises:
        ImportError: naming the extra that installs it.
    """
    try:
        import dynamixel_sdk
    except ImportError as error:
        raise ImportError(
            f"the hand needs the extra 'hardware': pip install 'deft-hand[hardware]' (dynamixel-sdk: {error})"
        ) from error
    return dynamixel_sdk  # type: ignore[no-any-return, unused-ignore]


class DynamixelBus:
    """One serial bus. Every method is safe to call from several threads; use ``names`` for readable errors."""

    def __init__(
        self, port: str, baud: int, *, names: Mapping[int, str] | None = None, retries: int = 2, patience_s: float = 0.0
    ) -> None:
        """Prepares a bus; nothing is opened yet.

        Args:
            port: serial port, such as ``/dev/ttyUSB0``.
            baud: bit/s, as the motors are set.
            names: motor id -> name used in messages.
            retries: further attempts after a lost or damaged answer.
            patience_s: how much longer an answer may take than the SDK waits (about 34 ms).
        """
        self.port, self.baud, self.retries, self.patience_s = port, baud, retries, patience_s
        self._names = dict(names or {})
        self._lock = threading.RLock()
        self._sdk: Any = None
        self._port: Any = None
        self._packet: Any = None
        self.retried = 0

    @property
    def is_open(self) -> bool:
        """Whether the port is open."""
        return self._port is not None

    def open(self) -> None:
        """Opens the port.

        Raises:
            ImportError: without the SDK.
            BusDisconnected: if the port cannot be opened at this baud rate.
        """
        self._sdk = load_sdk()
        port = self._sdk.PortHandler(self.port)
        if port.getCFlagBaud(self.baud) <= 0:
            raise BusDisconnected(f"baud: {self.baud} is not a rate that the SDK can set")
        port.baudrate = self.baud
        window = port.setPacketTimeout

        def wait_longer(length: int) -> None:
            window(length)
            port.packet_timeout += 1000.0 * self.patience_s

        port.setPacketTimeout = wait_longer
        try:
            opened = port.openPort()
        except (OSError, ValueError) as error:
            raise BusDisconnected(
                f"port: cannot open {self.port!r} ({error}); is the adapter plugged in, may this user open it "
                "(group 'dialout'), and is no other program using it?"
            ) from error
        if not opened:
            raise BusDisconnected(f"port: cannot open {self.port!r} at {self.baud} baud")
        self._port, self._packet = port, self._sdk.PacketHandler(2.0)

    def close(self) -> None:
        """Closes the port; may be called twice."""
        with self._lock:
            if self._port is not None:
                port, self._port = self._port, None
                port.closePort()

    def unjam(self) -> None:
        """Frees a port that an exception left marked as busy (Ctrl-C inside the SDK's receive loop does that)."""
        with self._lock:
            if self._port is not None:
                self._port.is_using = False

    def name(self, motor: int) -> str:
        """A motor in words, for messages."""
        return f"motor {motor} ({self._names[motor]!r})" if motor in self._names else f"motor {motor}"

    # --- one motor ----------------------------------------------------------------------------------------------------
    def ping(self, motor: int) -> int:
        """The motor's model number.

        Raises:
            BusTimeout: if it does not answer.
        """
        model, error = self._attempt(lambda: self._packet.ping(self._port, motor), f"{self.name(motor)}: ping")
        del error  # a standing alert is the business of whoever reads register 70
        return int(model)

    def read(self, motor: int, register: str) -> int:
        """A register's value, signed where it is; a standing hardware alert does not prevent reading."""
        reg = REGISTERS[register]
        what = f"{self.name(motor)}: reading {register!r}"

        def transaction() -> tuple[bytes, int, int]:
            code = self._packet.readTx(self._port, motor, reg.address, reg.size)
            return self._receive(motor, reg.size) if code == 0 else (b"", code, 0)

        data, error = self._attempt(transaction, what)
        self._refusal(error, what)
        return int.from_bytes(data, "little", signed=reg.signed)

    def write(self, motor: int, register: str, value: int) -> None:
        """Writes a register and waits for the motor's word that it was taken.

        Raises:
            MotorRefused: if the motor answered with an error.
            BusTimeout: if it did not answer.
        """
        reg = REGISTERS[register]
        data = list(_bytes(value, reg, register))
        what = f"{self.name(motor)}: writing {value} to {register!r}"
        _, error = self._attempt(
            lambda: (None, *self._packet.writeTxRx(self._port, motor, reg.address, reg.size, data)), what
        )
        self._refusal(error, what)

    def reboot(self, motor: int) -> None:
        """Restarts a motor, which clears its alerts; RAM settings are lost."""
        self._attempt(lambda: (None, *self._packet.reboot(self._port, motor)), f"{self.name(motor)}: reboot")

    # --- all motors ---------------------------------------------------------------------------------------------------
    def sync_write(self, register: str, values: Mapping[int, int]) -> None:
        """Writes one register of many motors in one packet; motors do not answer this instruction."""
        reg = REGISTERS[register]
        with self._lock:
            group = self._sdk.GroupSyncWrite(self._require(), self._packet, reg.address, reg.size)
            for motor, value in values.items():
                if not group.addParam(motor, list(_bytes(value, reg, register))):
                    raise ValueError(f"values: motor {motor} cannot be added to a sync write")
            self._attempt(lambda: (None, group.txPacket(), 0), f"writing {register!r} to {len(values)} motors")

    def sync_read(self, registers: Sequence[str], motors: Iterable[int]) -> dict[str, dict[int, int]]:
        """Reads neighbouring registers of many motors in one packet.

        Args:
            registers: names; everything between the lowest and the highest address is read.
            motors: ids.

        Returns:
            register -> motor id -> value.

        Raises:
            BusTimeout: naming the motors that answer no ping, after the retries.
        """
        regs = [REGISTERS[name] for name in registers]
        start = min(r.address for r in regs)
        size = max(r.address + r.size for r in regs) - start
        ids = list(motors)
        with self._lock:
            group = self._sdk.GroupSyncRead(self._require(), self._packet, start, size)
            for motor in ids:
                group.addParam(motor)
            what = f"reading {tuple(registers)} of {len(ids)} motors"

            def transaction() -> tuple[dict[int, tuple[bytes, int]], int, int]:
                answers: dict[int, tuple[bytes, int]] = {}
                code = group.txPacket()
                for motor in ids if code == 0 else ():
                    data, code, error = self._receive(motor, size)
                    if code != 0:
                        break
                    answers[motor] = data, error
                return answers, code, 0

            try:
                answers, _ = self._attempt(transaction, what)
            except BusTimeout as error:
                silent = [self.name(motor) for motor in ids if not self._answers(motor)]
                if not silent:
                    raise
                raise BusTimeout(
                    f"no answer from {', '.join(silent)} on {self.port} at {self.baud} baud, although the others "
                    "answer: check its cable, its id and its power"
                    if len(silent) < len(ids)
                    else self._silence()
                ) from error
            out: dict[str, dict[int, int]] = {name: {} for name in registers}
            for motor in ids:
                data, status = answers[motor]
                self._refusal(status, f"{self.name(motor)}: {what}")
                for name, reg in zip(registers, regs, strict=True):
                    chunk = data[reg.address - start : reg.address - start + reg.size]
                    out[name][motor] = int.from_bytes(chunk, "little", signed=reg.signed)
            return out

    # --- inside -------------------------------------------------------------------------------------------------------
    def _require(self) -> Any:
        if self._port is None:
            raise BusDisconnected(f"the bus on {self.port!r} is not open; call open() first")
        return self._port

    def _answers(self, motor: int) -> bool:
        try:
            self.ping(motor)
        except BusTimeout:
            return False
        return True

    def _receive(self, motor: int, size: int) -> tuple[bytes, int, int]:
        """The next answer of a motor: (data, code, status error).

        The SDK's own ``readRx`` cuts ``size`` bytes out of whatever comes, so that a late answer to another question
        would be taken for this one's, its checksum for data. Here an answer of another length counts as damaged.
        """
        while True:
            packet, code = self._packet.rxPacket(self._port, False)
            if code != 0:
                return b"", int(code), 0
            if packet[_ID] == motor:
                break
        error = int(packet[_ERROR])
        data = bytes(packet[_ERROR + 1 : _INSTRUCTION + (packet[_LENGTH] | packet[_LENGTH + 1] << 8) - _CHECKSUM])
        refused = bool(error & ~ALERT)
        return data, 0 if refused or len(data) == size else _CORRUPT, error

    def _silence(self) -> str:
        return (
            f"no motor answers on {self.port} at {self.baud} baud: is the hand's power on, and is the baud rate that "
            "of the motors?"
        )

    def _refusal(self, error: int, what: str) -> None:
        code = error & ~ALERT
        if code:
            raise MotorRefused(f"{what}: the motor {STATUS_ERRORS.get(code, f'answers with unknown error {code}')}")

    def _attempt(self, call: Callable[[], tuple[Any, int, int]], what: str) -> tuple[Any, int]:
        """Runs one SDK transaction, again after lost or damaged answers; returns (data, status error)."""
        code = 0
        with self._lock:
            for attempt in range(self.retries + 1):
                self._require()
                try:
                    data, code, error = call()
                except IndexError:
                    # The SDK indexes into the empty data of an error reply.
                    code = _CORRUPT
                except OSError as fault:
                    self.unjam()
                    raise BusDisconnected(
                        f"{what}: the port {self.port} failed ({fault}); was it unplugged?"
                    ) from fault
                if code == 0:
                    self.retried += attempt
                    if attempt:
                        # What was read may have been the late answer to the attempt before; then another one comes.
                        time.sleep(LATE_ANSWER_S)
                    return data, int(error)
                self.unjam()
                if attempt < self.retries:
                    # A late answer must not be taken for the next one's: it may arrive now, and sending clears it.
                    time.sleep(LATE_ANSWER_S)
        tries = self.retries + 1
        if code == _TIMEOUT:
            raise BusTimeout(f"{what}: no answer in {tries} attempts on {self.port} at {self.baud} baud")
        if code == _CORRUPT:
            raise BusCorrupt(f"{what}: damaged answers in {tries} attempts; check cable, termination and baud rate")
        raise HandError(f"{what}: the SDK reports {self._packet.getTxRxResult(code) or code}")


def _bytes(value: int, reg: Register, name: str) -> bytes:
    try:
        return int(value).to_bytes(reg.size, "little", signed=reg.signed)
    except OverflowError as error:
        raise ValueError(f"{name}: {value} does not fit into {reg.size} bytes") from error
