"""Looks at each device of a real rig and says in words what is wrong; nothing moves, no motor is switched on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deft_experiments.commands.doctor import Finding

if TYPE_CHECKING:
    from deft_env.rigs.real.rig_devices import Devices


def check_rig(path: Path) -> list[Finding]:
    """Configuration, arm, hand and camera, each by itself: a broken one does not hide the others."""
    from deft_env.rigs.real.rig_config import RealRigConfig, before_calibration, settings
    from deft_env.rigs.real.rig_devices import Devices
    from deft_env.rigs.real.rig_file import from_mapping, load_file

    name = "rig configuration"
    try:
        data, missing = before_calibration(load_file(path))
        s = settings(from_mapping(RealRigConfig, data, str(path)))
        made = Devices(s)
    except (ValueError, KeyError, ImportError) as error:
        return [Finding(name, "broken", str(error), f"edit {path}")]
    assumed = s.motor_map.source == "nominal"
    found = [Finding(name, "ok", f"{path}" + (", all devices are stand-ins" if s.stand_in else ""))]
    if "camera" in missing:
        found.append(
            Finding("camera pose", "missing", "camera.calibration: there is no such file yet; no run can start",
                    f"deft calibrate camera --rig-config {path}")
        )  # fmt: skip
    if assumed:
        words = "hand.motor_map: there is no such file yet; no run can start" if "hand" in missing else (
            "the assumed hand's; fingers go roughly where they should"
        )  # fmt: skip
        found.append(Finding("motor map", "missing", words, f"deft calibrate hand --rig-config {path}"))
    try:
        found += [
            _look("arm", lambda: _arm(made), "power, network cable, arm.ip; ping the control box"),
            _look("hand", lambda: _hand(made), "power, USB cable, hand.port, hand.baud, ids"),
            _look("camera", lambda: _camera(made), "USB 3 cable, udev rules, camera.serial"),
        ]
    finally:
        made.close()
    return found


def _look(name: str, look: Callable[[], str], fix: str) -> Finding:
    from deft_env.rigs.real.rig_devices import DEVICE_ERRORS

    try:
        return Finding(name, "ok", look())
    except ImportError as error:
        return Finding(name, "broken", str(error), "pip install -c constraints.txt -e '.[hardware]'")
    except DEVICE_ERRORS as error:
        return Finding(name, "broken", str(error), _mended(error) or fix)


def _mended(error: BaseException) -> str:
    """What to do where the device answers and says itself what is wrong; empty where it does not answer."""
    from deft_env.rigs.real.arm.errors import ArmDisconnected, ArmError, ArmTimeout
    from deft_env.rigs.real.camera_source import CameraBlind
    from deft_env.rigs.real.hand.errors import MotorAlert

    if isinstance(error, ArmError) and not isinstance(error, ArmDisconnected | ArmTimeout):
        return "remove the cause, then clear the error in the vendor's studio"
    if isinstance(error, MotorAlert):
        return "remove the cause, then switch the hand's power off and on"
    if isinstance(error, CameraBlind):
        return "look at the camera's picture in the vendor's viewer"
    return ""


def _arm(made: Devices) -> str:
    arm = made.arm.connect()
    status, joints = arm.status(), arm.joints()
    words = f"{made.settings.arm.ip}, firmware {arm.sdk.version}, joints {np.round(joints, 2).tolist()} rad"
    if status.error:
        from deft_env.rigs.real.arm.errors import controller_error

        raise controller_error("arm", status.error)
    return words


def _hand(made: Devices) -> str:
    hand = made.hand.open()
    warm = hand.temperatures()
    return f"{len(warm)} motors on {made.settings.hand.port}, at most {max(warm.values())} C"


def _camera(made: Devices) -> str:
    camera = made.camera.start()
    frame = camera.capture()
    return f"{camera.stream.name}, serial {camera.stream.serial}, {np.mean(frame.depth_m > 0):.0%} of pixels have depth"
