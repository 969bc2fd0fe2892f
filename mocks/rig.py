"""The whole rig as mocks: one simulated world behind the wire-level stand-ins of arm, hand and camera, and a person.

    with MockRig("PickCup") as mock, RealRig(RealRigConfig(file=str(mock.config_path))) as rig:
        ...

The vendors' unmodified SDKs talk to a TCP control box (``XArmBox``), a pseudo-terminal (``MockDynamixelBus``) and a
software device (``MockRealSense``); behind them one ``RigWorld`` moves a simulated arm and hand. Time is accelerated:
it passes as fast as the physics can be stepped (see ``rig_world``). The camera's software device must live in the
process of the driver, so pictures, scenes and verdicts come over a loopback socket of their own (``rig_link``), which
also serves a rig in another process (``deft mock-rig``).
"""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields
from math import inf
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike

from deft_env.episode import EpisodeKey
from deft_env.sim import world
from deft_mocks.dynamixel_bus import MockDynamixelBus
from deft_mocks.fiducials import Fiducial
from deft_mocks.realsense import CameraFaults
from deft_mocks.rig_link import LinkServer
from deft_mocks.rig_world import RigWorld
from deft_mocks.xarm.faults import Fault
from deft_mocks.xarm_box import CONTROL_PORT, XArmBox

BAUD: Final = 4_000_000
_SERVO: Final = 1


class MockRig:
    """Arm, hand, camera and person on loopback; ``start`` or ``with`` opens them, ``close`` shuts them.

    Attributes:
        world: the simulated world.
        box: the arm's control box.
        bus: the hand's bus.
        camera: what is wrong with the camera; may be changed at any time.
        folder: where the configuration and the hand's terminal are.
        config_path: the configuration for ``--rig real --rig-config``.
    """

    def __init__(
        self,
        task: str = "PickCup",
        *,
        folder: str | Path | None = None,
        control_port: int = CONTROL_PORT,
        seed: int = 0,
        faults: Iterable[Fault] = (),
        fiducial: Fiducial = "",
        motor_per_joint: ArrayLike = 1.0,
    ) -> None:
        """Compiles the world; nothing listens yet.

        Args:
            task: whose first scene stands on the table.
            folder: for the configuration; a temporary one by default, removed at the end.
            control_port: of the control box.
            seed: of random faults on the hand's bus.
            faults: of the arm.
            fiducial: what the hand wears for a calibration (``fiducials``), and holds before the camera.
            motor_per_joint: what ``deft calibrate hand`` should find, see ``RigWorld``.
        """
        self.world = RigWorld(task, fiducial=fiducial, motor_per_joint=motor_per_joint)
        self._temporary = folder is None
        self.folder = Path(tempfile.mkdtemp(prefix="deft-mock-rig-")) if folder is None else Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config_path = self.folder / "rig.yaml"
        self.camera = CameraFaults()
        self.box = XArmBox(world=self.world.arm, time_scale=inf, control_port=control_port, faults=faults)
        self.world.servo = lambda: self.box.controller.mode == _SERVO
        self.bus: MockDynamixelBus | None = None
        self._seed = seed
        self._painter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mock-rig-painter")
        self._link = LinkServer(self._answer)
        self._lock = threading.Lock()

    # --- life -------------------------------------------------------------------------------------------------------
    def start(self) -> Self:
        """Opens everything and writes the configuration."""
        terminal = self.folder / "hand"
        terminal.unlink(missing_ok=True)
        self.bus = MockDynamixelBus(range(1, 13), baud=BAUD, world=self.world.hand, seed=self._seed, link=terminal)
        self.box.start()
        self._link.start()
        # JSON is YAML.
        self.config_path.write_text(json.dumps(self.config(), indent=1) + "\n", encoding="utf-8")
        return self

    def close(self) -> None:
        """Shuts everything; may be called twice. Raises what a mock's thread died of."""
        self._link.close()
        if self.bus is not None:
            self.bus.close()
        self._painter.shutdown()
        try:
            self.box.close()
        finally:
            if self._temporary:
                shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def config(self) -> dict[str, Any]:
        """The sections of ``RealRigConfig`` for this rig."""
        address = self._link.address
        return {
            "stand_in": True,
            "arm": {
                "ip": self.box.host,
                "control_port": self.box.control_port,
                "joint_speed_rad_s": 2.0,
                "joint_acceleration_rad_s2": 10.0,
                "reply_timeout_s": 5.0,
            },
            # The SDK waits 34 ms for an answer, which a busy machine's thread may miss.
            "hand": {"port": str(self.folder / "hand"), "baud": BAUD, "retries": 20, "max_speed_rad_s": 8.0},
            "camera": {
                "T_base_cam": world.ego_pose().tolist(),
                "warmup": 1,
                "source": {"name": "mock-rig", "address": address},
            },
            "operator": {"name": "mock-rig", "address": address},
            "motion": {"paced": False, "watchdog_s": 20.0},
        }

    # --- what is asked over the link ----------------------------------------------------------------------------------
    def see(self) -> tuple[np.ndarray, np.ndarray]:
        """What the camera sees now: rgb (480, 640, 3) uint8, depth (480, 640) float32 m."""
        model, qpos = self.world.state()

        def paint() -> tuple[np.ndarray, np.ndarray]:
            from deft_env.sim import render

            # As the simulated rig draws its frames.
            return render.Scene(model, qpos).rgbd(shadows=False)

        # One thread draws: an OpenGL context belongs to the thread that made it.
        return self._painter.submit(paint).result()

    def mend(self) -> None:
        """What a person does after trouble: releases the button, plugs in the camera, replaces dead motors."""
        self.box.release_estop()
        self.box.silence(False)
        for f in fields(CameraFaults):
            setattr(self.camera, f.name, f.default)
        if self.bus is not None:
            self.bus.faults.dead.clear()
            self.bus.faults.corrupt_rate = self.bus.faults.drop_rate = 0.0
            self.bus.faults.corrupt_next = self.bus.faults.drop_next = 0
            for motor in self.bus.motors.values():
                motor.set("temperature", 32)
                motor.set("baud", 6)

    # --- for tests --------------------------------------------------------------------------------------------------
    def at_tick(self, tick: int, action: Callable[[], None]) -> None:
        """Calls ``action`` when the arm has been streamed ``tick`` set points since the scene was set.

        It is called in the control box's thread: what sends the arm a command must start a thread of its own.
        """
        self.world.triggers.append((tick, action))

    def clear_faults(self) -> None:
        """Forgets what was still to go wrong with the arm, and every trigger."""
        self.world.triggers.clear()
        self.box.clear_faults()

    def pending(self) -> bool:
        """Whether something was still to go wrong, or a trigger still to be pulled."""
        return bool(self.world.triggers) or self.box.plan.pending

    def at_rest(self) -> bool:
        """Whether the devices are as they should be after trouble: the arm stands, and every live motor is limp."""
        controller = self.box.controller
        still = not controller.queue and (
            controller.run != "ready" or float(np.abs(controller.target - self.box.joints()).max()) < 0.1
        )
        assert self.bus is not None, "start() makes the bus"
        live = [m for i, m in self.bus.motors.items() if i not in self.bus.faults.dead and m.baud == BAUD]
        return still and not any(motor.get("torque") for motor in live)

    def _answer(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        match request.get("do"):
            case "see":
                rgb, depth = self.see()
                return {}, rgb.tobytes() + depth.astype("<f4").tobytes()
            case "camera":
                return asdict(self.camera), b""
            case "reset":
                self.world.reset(EpisodeKey.parse(str(request["key"])))
                return {}, b""
            case "judge":
                return self.world.verdict(request["phase"]), b""
            case "mend":
                self.mend()
                return {}, b""
        raise ValueError(f"do: expected see, camera, reset, judge or mend, got {request.get('do')!r}")
