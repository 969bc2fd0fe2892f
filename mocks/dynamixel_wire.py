"""Dynamixel Protocol 2.0 framing, the motors' side: CRC, byte stuffing, packets in and out.

Written from the published packet layout ``FF FF FD 00 | id | length | instruction | parameters | CRC`` (little-endian).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

HEADER: Final = b"\xff\xff\xfd\x00"
BROADCAST: Final = 0xFE
STATUS: Final = 0x55
MAX_LENGTH: Final = 4096
"""A length field beyond this is noise, not a packet (our choice; the bus never carries half as much)."""


class Instruction(IntEnum):
    """Instruction bytes that the mock understands."""

    PING = 0x01
    READ = 0x02
    WRITE = 0x03
    REG_WRITE = 0x04
    ACTION = 0x05
    FACTORY_RESET = 0x06
    REBOOT = 0x08
    CLEAR = 0x10
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83
    FAST_SYNC_READ = 0x8A
    BULK_READ = 0x92
    BULK_WRITE = 0x93
    FAST_BULK_READ = 0x9A


class Error(IntEnum):
    """Error numbers of a status packet; the alert bit is or-ed on top."""

    NONE = 0
    RESULT = 1
    INSTRUCTION = 2
    CRC = 3
    RANGE = 4
    LENGTH = 5
    LIMIT = 6
    ACCESS = 7


ALERT: Final = 0x80


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet as a motor sees it; ``crc_ok`` is False when its checksum was wrong."""

    id: int
    instruction: int
    params: bytes
    crc_ok: bool = True


def _table() -> tuple[int, ...]:
    rows = []
    for byte in range(256):
        value = byte << 8
        for _ in range(8):
            value = ((value << 1) ^ 0x8005 if value & 0x8000 else value << 1) & 0xFFFF
        rows.append(value)
    return tuple(rows)


_CRC: Final = _table()


def crc16(data: bytes, crc: int = 0) -> int:
    """CRC-16 with polynomial 0x8005, no reflection, continued from ``crc``."""
    for byte in data:
        crc = ((crc << 8) & 0xFFFF) ^ _CRC[((crc >> 8) ^ byte) & 0xFF]
    return crc


def stuff(body: bytes) -> bytes:
    """Doubles the FD of every FF FF FD in instruction and parameters, so that no header appears inside a packet."""
    out = bytearray()
    for byte in body:
        out.append(byte)
        if byte == 0xFD and out[-3:-1] == b"\xff\xff":
            out.append(0xFD)
    return bytes(out)


def unstuff(body: bytes) -> bytes:
    """Undoes ``stuff``."""
    out = bytearray()
    i = 0
    while i < len(body):
        out.append(body[i])
        if out[-3:] == b"\xff\xff\xfd" and body[i + 1 : i + 2] == b"\xfd":
            i += 1
        i += 1
    return bytes(out)


def encode(motor: int, instruction: int, params: bytes = b"") -> bytes:
    """A whole packet, stuffed and checksummed."""
    body = stuff(bytes([instruction]) + params)
    head = HEADER + bytes([motor]) + (len(body) + 2).to_bytes(2, "little") + body
    return head + crc16(head).to_bytes(2, "little")


def encode_status(motor: int, error: int, data: bytes = b"") -> bytes:
    """A status packet."""
    return encode(motor, STATUS, bytes([error]) + data)


def encode_fast(parts: list[tuple[int, int, bytes]]) -> bytes:
    """The one frame of a fast read; ``parts`` are (motor, error, data), each followed by the CRC up to there."""
    length = 1 + sum(len(data) + 4 for _, _, data in parts)
    frame = bytearray(HEADER + bytes([BROADCAST]) + length.to_bytes(2, "little") + bytes([STATUS]))
    for motor, error, data in parts:
        frame += bytes([error, motor]) + data
        frame += crc16(bytes(frame)).to_bytes(2, "little")
    return bytes(frame)


class Decoder:
    """Turns a byte stream into packets; skips noise up to the next header, as a motor does."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Packet]:
        """Takes what arrived and returns the packets that are complete."""
        self._buffer += data
        out: list[Packet] = []
        while True:
            start = self._buffer.find(HEADER)
            if start < 0:
                del self._buffer[: max(0, len(self._buffer) - len(HEADER) + 1)]
                return out
            del self._buffer[:start]
            if len(self._buffer) < 7:
                return out
            length = int.from_bytes(self._buffer[5:7], "little")
            if not 3 <= length <= MAX_LENGTH:
                del self._buffer[: len(HEADER)]
                continue
            if len(self._buffer) < 7 + length:
                return out
            raw = bytes(self._buffer[: 7 + length])
            del self._buffer[: 7 + length]
            body = unstuff(raw[7:-2])
            out.append(Packet(raw[4], body[0], body[1:], crc16(raw[:-2]) == int.from_bytes(raw[-2:], "little")))
