"""What the motors' registers are called and what their error codes mean: the X series.

Addresses were checked against the SDK's own XC330-M288 table (in the tests).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


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


def alert_words(bits: int) -> str:
    """Register 70 in words."""
    words = [text for bit, text in HARDWARE_ERRORS.items() if bits & bit]
    rest = bits & ~sum(HARDWARE_ERRORS)
    return " and ".join([*words, *([f"unknown bits 0x{rest:02x}"] if rest else [])]) or "no error"


def to_bytes(value: int, register: str) -> bytes:
    """A register's value as it goes over the wire.

    Raises:
        ValueError: if it does not fit.
    """
    reg = REGISTERS[register]
    try:
        return int(value).to_bytes(reg.size, "little", signed=reg.signed)
    except OverflowError as error:
        raise ValueError(f"{register}: {value} does not fit into {reg.size} bytes") from error
