"""A Dynamixel bus: reading and writing the registers of one motor or of all, by name, with signed values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from deft_env.rigs.real.hand.dynamixel_link import DynamixelLink
from deft_env.rigs.real.hand.dynamixel_registers import REGISTERS, to_bytes
from deft_env.rigs.real.hand.errors import BusTimeout


class DynamixelBus(DynamixelLink):
    """One serial bus. Every method is safe to call from several threads; use ``names`` for readable errors."""

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
        data = list(to_bytes(value, register))
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
                if not group.addParam(motor, list(to_bytes(value, register))):
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

    def _answers(self, motor: int) -> bool:
        try:
            self.ping(motor)
        except BusTimeout:
            return False
        return True

    def _silence(self) -> str:
        return (
            f"no motor answers on {self.port} at {self.baud} baud: is the hand's power on, and is the baud rate that "
            "of the motors?"
        )
