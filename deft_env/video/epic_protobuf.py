"""EPIC-KITCHENS-100's hand-object detections: a pickled list of protobuf messages, decoded without protobuf.

Message (published .proto): Detections {1 video_id, 2 frame_number, 3 HandDetection*, 4 ObjectDetection*}; HandDetection
{1 bbox, 2 score, 3 state, 4 object_offset {1 x, 2 y}, 5 side}; ObjectDetection {1 bbox, 2 score}; BBox {1 left, 2 top,
3 right, 4 bottom}. Coordinates are shares of the picture; zeros are left out, as proto3 does.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from deft_env.video.records import LEFT, RIGHT, STATES, HandBox, ObjectBox, UnreadableError


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise UnreadableError("protobuf: broken number")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a message: number, and an int, a float or bytes.

    Raises:
        UnreadableError: if the message is broken.
    """
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:
            value: Any
            value, at = _varint(data, at)
        elif kind == 5 and at + 4 <= len(data):
            value, at = struct.unpack_from("<f", data, at)[0], at + 4
        elif kind == 2:
            size, at = _varint(data, at)
            if at + size > len(data):
                raise UnreadableError("protobuf: the message is cut short")
            value, at = data[at : at + size], at + size
        else:
            raise UnreadableError(f"protobuf: unexpected wire type {kind}")
        yield tag >> 3, value


def _floats(data: bytes, count: int) -> np.ndarray:
    out = np.zeros(count)
    for number, value in fields(data):
        if 1 <= number <= count and isinstance(value, float):
            out[number - 1] = value
    return out


def decode(data: bytes, width_px: float, height_px: float) -> tuple[str, int, list[HandBox], list[ObjectBox]]:
    """One message -> video, frame number, hands and objects, in px of a picture of the given size.

    Raises:
        UnreadableError: if it is broken.
    """
    video, frame = "", 0
    hands: list[HandBox] = []
    objects: list[ObjectBox] = []
    scale = np.array([width_px, height_px] * 2)
    try:
        for number, value in fields(data):
            if number == 1:
                video = value.decode()
            elif number == 2:
                frame = int(value)
            elif number in (3, 4):
                parts = dict(fields(value))
                box = _floats(parts.get(1, b""), 4) * scale
                score = float(parts.get(2, 0.0))
                if not np.isfinite([*box, score]).all():
                    raise UnreadableError("protobuf: a box or score is not finite")
                if number == 4:
                    objects.append(ObjectBox(box, score))
                    continue
                centre = 0.5 * (box[:2] + box[2:]) + _floats(parts.get(4, b""), 2) * scale[:2]
                state = int(parts.get(3, 0))
                if not 0 <= state < len(STATES):
                    raise UnreadableError(f"protobuf: unknown state {state}")
                hands.append(HandBox(box, score, STATES[state], RIGHT if parts.get(5, 0) else LEFT, centre))
    except (AttributeError, TypeError, UnicodeDecodeError) as error:  # a field of another wire type than it should have
        raise UnreadableError(f"protobuf: {error}") from None
    return video, frame, hands, objects


def _key(number: int, kind: int) -> bytes:
    return bytes([number << 3 | kind])


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _block(number: int, data: bytes) -> bytes:
    return _key(number, 2) + _number(len(data)) + data


def _floats_out(values: np.ndarray) -> bytes:
    parts = [_key(i + 1, 5) + struct.pack("<f", v) for i, v in enumerate(values) if v != 0.0]
    return b"".join(parts)


def encode(
    video: str, frame: int, hands: list[HandBox], objects: list[ObjectBox], width_px: float, height_px: float
) -> bytes:
    """The inverse of ``decode``, for synthetic videos and tests; zeros are left out, as proto3 does."""
    scale = np.array([width_px, height_px] * 2)
    out = _block(1, video.encode()) + (_key(2, 0) + _number(frame) if frame else b"")
    for hand in hands:
        offset = (hand.object_centre - 0.5 * (hand.box[:2] + hand.box[2:])) / scale[:2]
        data = _block(1, _floats_out(hand.box / scale)) + _key(2, 5) + struct.pack("<f", hand.score)
        state = STATES.index(hand.state)
        data += (_key(3, 0) + _number(state) if state else b"") + _block(4, _floats_out(offset))
        data += _key(5, 0) + _number(1) if hand.side == RIGHT else b""
        out += _block(3, data)
    for thing in objects:
        out += _block(4, _block(1, _floats_out(thing.box / scale)) + _key(2, 5) + struct.pack("<f", thing.score))
    return out
