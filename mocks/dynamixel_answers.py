"""How motors answer an instruction of Protocol 2.0: one of them, all, or several in the order they are named in."""

from __future__ import annotations

from collections.abc import Mapping

from deft_mocks.dynamixel_motor import MockMotor
from deft_mocks.dynamixel_wire import BROADCAST, Error, Instruction, Packet, encode_fast, encode_status


def replies(packet: Packet, motors: Mapping[int, MockMotor]) -> list[bytes]:
    """The status packets of the motors that hear an instruction, in their order; empty where none is due."""
    if not packet.crc_ok:
        motor = motors.get(packet.id)
        return [encode_status(motor.id, Error.CRC | motor.alert)] if motor else []
    try:
        instruction = Instruction(packet.instruction)
    except ValueError:
        motor = motors.get(packet.id)
        return [encode_status(motor.id, Error.INSTRUCTION | motor.alert)] if motor else []
    match instruction:
        case Instruction.SYNC_WRITE | Instruction.BULK_WRITE:
            for motor_id, address, data in _writes(instruction, packet.params):
                if motor_id in motors:
                    motors[motor_id].write(address, data)
            return []
        case Instruction.SYNC_READ | Instruction.BULK_READ | Instruction.FAST_SYNC_READ | Instruction.FAST_BULK_READ:
            return _read_many(instruction, packet.params, motors)
    targets = sorted(motors) if packet.id == BROADCAST else [packet.id]
    out = []
    for motor_id in targets:
        if motor_id in motors:
            reply = _one(motors[motor_id], instruction, packet.params)
            # A broadcast is answered only when it is a ping.
            if reply and (packet.id != BROADCAST or instruction is Instruction.PING):
                out.append(reply)
    return out


def _one(motor: MockMotor, instruction: Instruction, params: bytes) -> bytes:
    level = motor.get("status_level")
    error, data = Error.NONE, b""
    answers = level >= 2
    motor_id = motor.id
    match instruction:
        case Instruction.PING:
            answers, data = True, bytes(motor.table[0:2]) + bytes(motor.table[6:7])
        case Instruction.READ:
            answers = level >= 1
            if len(params) != 4:
                error = Error.LENGTH
            else:
                error, data = motor.read(_u16(params), _u16(params[2:]))
        case Instruction.WRITE:
            error = motor.write(_u16(params), params[2:]) if len(params) > 2 else Error.LENGTH
        case Instruction.REG_WRITE:
            motor.pending = (_u16(params), params[2:])
            motor.set("registered", 1)
        case Instruction.ACTION:
            answers = False
            if motor.pending is not None:
                motor.write(*motor.pending)
                motor.pending = None
                motor.set("registered", 0)
        case Instruction.REBOOT:
            reply = encode_status(motor_id, motor.alert)
            motor.reboot()
            return reply if answers else b""
        case Instruction.CLEAR:
            if params != b"\x01\x44\x58\x4c\x22":
                error = Error.RANGE
        case _:  # FACTORY_RESET: a test bench must not lose ids and baud rates
            error = Error.INSTRUCTION
    return encode_status(motor_id, error | motor.alert, data) if answers else b""


def _read_many(instruction: Instruction, params: bytes, motors: Mapping[int, MockMotor]) -> list[bytes]:
    if instruction in (Instruction.SYNC_READ, Instruction.FAST_SYNC_READ):
        wanted = [(i, _u16(params), _u16(params[2:])) for i in params[4:]]
    else:
        rows = [params[k : k + 5] for k in range(0, len(params) - 4, 5)]
        wanted = [(r[0], _u16(r[1:]), _u16(r[3:])) for r in rows]
    parts: list[tuple[int, int, bytes]] = []
    for motor_id, address, size in wanted:
        motor = motors.get(motor_id)
        # Each motor waits for the one named before it: a dead one silences those behind it.
        if motor is None or motor.get("status_level") == 0:
            break
        error, data = motor.read(address, size)
        parts.append((motor_id, error | motor.alert, data))
    if instruction in (Instruction.SYNC_READ, Instruction.BULK_READ):
        return [encode_status(i, error, data) for i, error, data in parts]
    # A fast read is one frame that all share: with one motor missing it stays incomplete.
    return [encode_fast(parts)] if len(parts) == len(wanted) else []


def _u16(data: bytes) -> int:
    return int.from_bytes(data[:2], "little")


def _writes(instruction: Instruction, params: bytes) -> list[tuple[int, int, bytes]]:
    """Splits a sync or bulk write into (id, address, data)."""
    if instruction is Instruction.SYNC_WRITE:
        address, size = _u16(params), _u16(params[2:])
        rows = [params[k : k + size + 1] for k in range(4, len(params), size + 1)]
        return [(row[0], address, row[1:]) for row in rows if len(row) == size + 1]
    out, at = [], 0
    while at + 5 <= len(params):
        size = _u16(params[at + 3 :])
        out.append((params[at], _u16(params[at + 1 :]), params[at + 5 : at + 5 + size]))
        at += 5 + size
    return out
