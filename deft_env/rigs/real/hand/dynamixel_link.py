"""The serial port of a Dynamixel bus, opened through the vendor's ``dynamixel_sdk``: one lock, retries, typed errors.

The SDK returns codes and, on some faults, raises ``IndexError`` or hands out checksum bytes as data; all of that stops
here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final

from deft_env.rigs.real.hand.dynamixel_registers import ALERT, STATUS_ERRORS
from deft_env.rigs.real.hand.errors import BusCorrupt, BusDisconnected, BusTimeout, HandError, MotorRefused

LATE_ANSWER_S: Final = 0.03
"""Pause before a retry, about the SDK's own window for an answer (our choice)."""
_TIMEOUT, _CORRUPT = -3001, -3002
_ID, _LENGTH, _INSTRUCTION, _ERROR, _CHECKSUM = 4, 5, 7, 8, 2
"""Where things are in a status packet of Protocol 2.0; its length counts from the instruction, checksum included."""


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


class DynamixelLink:
    """An open port; see ``deft_env.rigs.real.hand.dynamixel_bus.DynamixelBus``."""

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

    # --- transactions -------------------------------------------------------------------------------------------------
    def _require(self) -> Any:
        if self._port is None:
            raise BusDisconnected(f"the bus on {self.port!r} is not open; call open() first")
        return self._port

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
