"""The mock bus against the vendor's SDK, unmodified, and against the SDK's own control table."""

import os
import time
from pathlib import Path

import pytest

from deft_mocks import dynamixel_wire as wire
from deft_mocks.dynamixel_bus import MockDynamixelBus, SimpleWorld
from deft_mocks.dynamixel_motor import ITEMS, RAD_PER_TICK

sdk = pytest.importorskip("dynamixel_sdk", reason="needs the extra 'hardware' (dynamixel-sdk)")


class Patient:
    """The SDK's packet handler, asked again where a loaded machine missed its window of 34 ms."""

    def __init__(self) -> None:
        self.raw = sdk.PacketHandler(2.0)

    def __getattr__(self, name: str):
        def call(*arguments):
            for _ in range(8):
                result = getattr(self.raw, name)(*arguments)
                if -3001 not in (result if isinstance(result, tuple) else (result,)):
                    break
                time.sleep(0.05)  # a late answer must not be taken for the next one's
            return result

        return call


class Client:
    """The SDK, opened on a mock."""

    def __init__(self, bus: MockDynamixelBus, baud: int = 57600) -> None:
        self.port, self.packet = sdk.PortHandler(bus.path), Patient()
        self.raw = self.packet.raw
        self.port.baudrate = baud
        assert self.port.openPort()

    def write(self, motor: int, name: str, value: int) -> tuple[int, int]:
        item = ITEMS[name]
        data = list(value.to_bytes(item.size, "little", signed=item.signed))
        return self.packet.writeTxRx(self.port, motor, item.address, item.size, data)

    def read(self, motor: int, name: str) -> tuple[int, int, int]:
        item = ITEMS[name]
        data, code, error = self.packet.readTxRx(self.port, motor, item.address, item.size)
        return int.from_bytes(bytes(data), "little", signed=item.signed), code, error


@pytest.fixture
def bus():
    with MockDynamixelBus(range(1, 5)) as bus:
        yield bus


@pytest.fixture
def client(bus):
    client = Client(bus)
    yield client
    client.port.closePort()


def test_crc_and_stuffing_agree_with_the_sdk() -> None:
    handler = sdk.PacketHandler(2.0)
    data = bytes(range(256)) * 2
    assert wire.crc16(data) == handler.updateCRC(0, data, len(data))
    for body in (b"\xff\xff\xfd", b"\x03\xff\xff\xfd\xff\xff\xfd\xfd", b"\xff\xff\xff\xfd"):
        assert wire.unstuff(wire.stuff(body)) == body
        (packet,) = wire.Decoder().feed(b"noise\xff" + wire.encode(7, 0x03, body))
        assert packet == wire.Packet(7, 0x03, body)


def test_the_decoder_takes_bytes_one_by_one_and_reports_bad_checksums() -> None:
    decoder, raw = wire.Decoder(), wire.encode(3, 1)
    packets = [p for b in raw + raw[:-1] + b"\x00" for p in decoder.feed(bytes([b]))]
    assert [p.crc_ok for p in packets] == [True, False]


def test_control_table_is_that_of_the_sdks_model_file() -> None:
    easy = pytest.importorskip("dynamixel_easy_sdk")
    folder = Path(easy.__file__).parent / "control_table"
    rows = [line.split("\t") for line in (folder / "xc330_m288.model").read_text().splitlines()]
    table = {(int(r[0]), int(r[1])) for r in rows if len(r) == 3 and r[0].isdigit()}
    assert {(i.address, i.size) for i in ITEMS.values()} <= table


def test_ping_read_write(client) -> None:
    assert client.packet.ping(client.port, 2) == (1240, 0, 0)
    assert client.write(2, "led", 1) == (0, 0)
    assert client.read(2, "led") == (1, 0, 0)


def test_broadcast_ping_finds_everyone(bus) -> None:
    for motor in bus.motors.values():
        motor.set("baud", 6)
    client = Client(bus, 4_000_000)
    found, code = client.packet.broadcastPing(client.port)
    client.port.closePort()
    assert code == 0
    assert sorted(found) == [1, 2, 3, 4]


def test_status_errors(client) -> None:
    assert client.write(1, "mode", 5) == (0, 0)
    assert client.write(1, "mode", 7) == (0, wire.Error.RANGE)
    assert client.write(1, "goal_current", 911) == (0, wire.Error.LIMIT)
    assert client.write(1, "position", 0) == (0, wire.Error.ACCESS)
    assert client.write(1, "torque", 1) == (0, 0)
    assert client.write(1, "mode", 3) == (0, wire.Error.ACCESS)


def test_stuffed_bytes_survive_the_round_trip(client) -> None:
    item = ITEMS["goal_position"]
    value = -0x020001  # ff ff fd ff in little-endian: a header's bytes
    client.write(1, "mode", 4)
    client.write(1, "torque", 1)
    code, error = client.packet.writeTxRx(
        client.port, 1, item.address, 4, list(value.to_bytes(4, "little", signed=True))
    )
    assert (code, error) == (0, 0)
    assert client.read(1, "goal_position")[0] == value


@pytest.mark.parametrize("fast", [False, True])
def test_sync_write_and_sync_read(bus, client, fast) -> None:
    for motor in bus.motors:
        client.write(motor, "mode", 5)
        client.write(motor, "torque", 1)
    group = sdk.GroupSyncWrite(client.port, client.raw, 116, 4)
    for motor in bus.motors:
        group.addParam(motor, list((2048 + 100 * motor).to_bytes(4, "little")))
    assert group.txPacket() == 0
    client.read(1, "led")  # a sync write is not answered; the answer to this says that it has arrived
    bus.advance(10.0)
    read = sdk.GroupSyncRead(client.port, client.raw, 126, 10)
    for motor in bus.motors:
        read.addParam(motor)
    for _ in range(8):
        code = read.fastSyncRead() if fast else read.txRxPacket()
        if code == 0:
            break
    assert code == 0
    assert [read.getData(m, 132, 4) for m in bus.motors] == [2148, 2248, 2348, 2448]


def test_reg_write_waits_for_action(bus, client) -> None:
    client.packet.regWriteTxRx(client.port, 3, 65, 1, [1])
    assert bus.motors[3].get("led") == 0
    assert client.read(3, "registered")[0] == 1
    client.packet.action(client.port, 3)
    assert client.read(3, "led")[0] == 1


def test_bulk_read(client) -> None:
    bulk = sdk.GroupBulkRead(client.port, client.raw)
    bulk.addParam(1, 0, 2)
    bulk.addParam(3, 146, 1)
    assert 0 in (bulk.txRxPacket() for _ in range(8))
    assert (bulk.getData(1, 0, 2), bulk.getData(3, 146, 1)) == (1240, 32)


def test_overload_drops_torque_until_reboot(bus, client) -> None:
    client.write(2, "torque", 1)
    bus.overload(2)
    assert client.read(2, "hardware_error") == (0x20, 0, wire.ALERT)
    assert client.read(2, "torque")[0] == 0
    assert client.write(2, "torque", 1)[1] == wire.ALERT | wire.Error.RESULT
    client.packet.reboot(client.port, 2)
    assert client.read(2, "hardware_error") == (0, 0, 0)


def test_faults_of_the_wire(bus, client) -> None:
    bus.faults.drop_next = 1
    assert client.raw.ping(client.port, 1)[1] == -3001
    bus.faults.corrupt_next = 1
    assert client.raw.ping(client.port, 1)[1] in (-3001, -3002)
    assert client.packet.ping(client.port, 1)[1] == 0
    bus.faults.dead.add(2)
    assert client.raw.ping(client.port, 2)[1] == -3001
    read = sdk.GroupSyncRead(client.port, client.raw, 132, 4)
    for motor in bus.motors:
        read.addParam(motor)
    assert read.txRxPacket() == -3001
    assert not read.isAvailable(1, 132, 4)


def test_the_wrong_baud_rate_is_silence(bus) -> None:
    client = Client(bus, 1_000_000)
    assert client.raw.ping(client.port, 1)[1] == -3001
    client.port.closePort()


def test_faults_are_a_function_of_the_seed() -> None:
    def dropped(seed: int) -> list[bool]:
        with MockDynamixelBus([1], seed=seed) as bus:
            bus.faults.drop_rate = 0.5
            return [bus._send([wire.encode_status(1, 0)]) == b"" for _ in range(32)]

    assert dropped(3) == dropped(3) != dropped(4)


def test_a_silent_master_trips_the_watchdog(bus, client) -> None:
    client.write(1, "mode", 5)
    client.write(1, "watchdog", 50)
    bus.advance(0.9)
    assert bus.motors[1].get("watchdog") == 50
    client.read(1, "position")
    bus.advance(1.1)
    assert bus.motors[1].get("watchdog") == -1
    assert bus.motors[1].get("goal_current") == 0


def test_world_obstacles_and_links(tmp_path) -> None:
    world = SimpleWorld(obstacles_rad={1: (-0.1, 0.5)})
    link = tmp_path / "ttyHand"
    with MockDynamixelBus([1], world=world, link=link) as bus:
        client = Client(bus)
        client.write(1, "mode", 5)
        client.write(1, "goal_current", 300)
        client.write(1, "torque", 1)
        client.write(1, "goal_position", 2048 + 1000)
        bus.advance(5.0)
        bus.advance(0.01)
        assert client.read(1, "position")[0] == 2048 + round(0.5 / RAD_PER_TICK)
        assert client.read(1, "current")[0] == 300
        client.port.closePort()
    assert not os.path.lexists(link)
