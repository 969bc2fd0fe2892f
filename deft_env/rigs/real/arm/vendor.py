"""The part of the vendor's SDK that the driver uses, how it is opened, and the one place where units change.

Ours are m and rad; the SDK's are mm and, as it is opened here, rad. No other module knows.
"""

# ruff: noqa: D102 - the vendor documents these methods
from __future__ import annotations

import threading
from collections.abc import Sequence
from math import ceil, floor
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from deft_env.rigs.real.arm import xarm_kinematics
from deft_env.rigs.real.arm.config import VENDOR_PORT, ArmConfig
from deft_env.rigs.real.arm.errors import ArmDisconnected, ArmFault, ArmTimeout
from deft_env.rigs.real.arm.xarm_kinematics import Array

MM_PER_M = 1000.0


class ArmSdk(Protocol):
    """The methods of ``xarm.wrapper.XArmAPI`` that the driver calls, and no others. Codes: ``errors.API_CODES``."""

    connected: bool
    count: int
    axis: int
    device_type: int
    version: str
    mode: int
    is_simulation_robot: bool
    collision_sensitivity: int
    tcp_offset: Sequence[float]

    def connect(self) -> None: ...
    def disconnect(self) -> None: ...
    def set_timeout(self, timeout: float) -> Any: ...
    def get_state(self) -> tuple[int, int]: ...
    def get_err_warn_code(self) -> tuple[int, Sequence[int]]: ...
    def clean_error(self) -> int: ...
    def clean_warn(self) -> int: ...
    def motion_enable(self, enable: bool = True) -> int: ...
    def set_mode(self, mode: int = 0) -> int: ...
    def set_state(self, state: int = 0) -> int: ...
    def get_joint_states(
        self, is_radian: bool | None = None, num: int = 3
    ) -> tuple[int, Sequence[Sequence[float]]]: ...
    def get_position(self, is_radian: bool | None = None) -> tuple[int, Sequence[float]]: ...
    def get_inverse_kinematics(
        self, pose: Sequence[float], input_is_radian: bool | None = None, return_is_radian: bool | None = None
    ) -> tuple[int, Sequence[float]]: ...
    def set_servo_angle(self, *, angle: Sequence[float], **kwargs: Any) -> int: ...
    def set_position(self, *pose: float, **kwargs: Any) -> int: ...
    def set_servo_angle_j(self, angles: Sequence[float], **kwargs: Any) -> int: ...
    def set_servo_cartesian(self, mvpose: Sequence[float], **kwargs: Any) -> int: ...
    def set_tcp_offset(self, offset: Sequence[float], **kwargs: Any) -> int: ...
    def set_tcp_load(self, weight: float, center_of_gravity: Sequence[float]) -> int: ...
    def set_collision_sensitivity(self, value: int) -> int: ...
    def set_reduced_tcp_boundary(self, boundary: Sequence[int]) -> int: ...
    def set_fence_mode(self, on: bool) -> Any: ...
    def get_reduced_states(self, is_radian: bool | None = None) -> tuple[int, Sequence[Any]]: ...


def create_sdk(config: ArmConfig) -> ArmSdk:
    """An unconnected ``XArmAPI``; ImportError, which names the extra, where the SDK is not installed."""
    try:
        from xarm.core.config.x_config import XCONF
        from xarm.core.utils.log import logger, origin_logger
        from xarm.wrapper import XArmAPI
    except ImportError as error:
        raise ImportError("the xArm needs its vendor's SDK: pip install 'deft-hand[hardware]'") from error
    except OSError as error:
        raise OSError(f"the xArm SDK writes its log under the home folder, which failed: {error}; set HOME") from error
    for log in (logger, origin_logger):
        log.setLevel(logger.CRITICAL)  # every code comes back as an exception with words
    if config.control_port != VENDOR_PORT:
        XCONF.SocketConf.TCP_CONTROL_PORT = config.control_port
    sdk: ArmSdk = XArmAPI(config.ip, is_radian=True, do_not_open=True, check_simulation_mode=False)
    return sdk


def connect(sdk: ArmSdk, config: ArmConfig) -> None:
    """Connects; raises ArmDisconnected or, where the box accepts but does not answer, ArmTimeout."""
    failure: list[BaseException] = []

    def work() -> None:
        try:
            sdk.connect()
        except BaseException as error:  # the SDK raises bare Exception
            failure.append(error)

    # The SDK itself would wait for minutes for a box that is silent.
    thread = threading.Thread(target=work, name="xarm-connect", daemon=True)
    thread.start()
    thread.join(config.connect_timeout_s)
    where = f"control box at {config.ip}:{config.control_port}"
    if thread.is_alive():
        disconnect(sdk)
        raise ArmTimeout("connect", f"{where} does not answer", do="check that it is an xArm that has booted")
    if failure or not sdk.connected:
        disconnect(sdk)
        cause = failure[0] if failure else None
        raise ArmDisconnected("connect", f"{where} cannot be reached", do="check power, network and address") from cause
    sdk.set_timeout(config.reply_timeout_s)


def disconnect(sdk: ArmSdk) -> None:
    """Disconnects; never raises."""
    try:
        sdk.disconnect()
    except Exception:
        return


def code_of(answer: Any) -> int:
    """The return code of an answer; some SDK methods return it in a list."""
    code = answer[0] if isinstance(answer, list | tuple) else answer
    if not isinstance(code, int):
        raise ArmFault("answer", f"the SDK returned {answer!r} where a code was expected")
    return code


def numbers(operation: str, values: Any, count: int) -> Array:
    """At least ``count`` finite floats out of an answer, cut to ``count``; anything else is an ArmFault."""
    try:
        out = np.asarray(values, dtype=np.float64)[:count]
    except (TypeError, ValueError, IndexError) as error:
        raise ArmFault(operation, f"the answer {values!r} is no list of numbers") from error
    if out.shape != (count,) or not np.isfinite(out).all():
        raise ArmFault(
            operation, f"{count} finite numbers expected in the answer, got {values!r}", do="check the network"
        )
    return out


def pose_to_sdk(T_base_tcp: ArrayLike) -> list[float]:
    """(4, 4), m -> x, y, z in mm and roll, pitch, yaw in rad."""
    T = np.asarray(T_base_tcp, dtype=np.float64)
    return [*(MM_PER_M * T[:3, 3]).tolist(), *xarm_kinematics.rpy_from_rotation(T[:3, :3]).tolist()]


def pose_from_sdk(pose: Array) -> Array:
    """x, y, z in mm and roll, pitch, yaw in rad -> (4, 4), m."""
    return xarm_kinematics.pose_from_rpy(pose[:3] / MM_PER_M, pose[3:])


def offset_to_sdk(position_m: Sequence[float], rpy_rad: Sequence[float] = ()) -> list[float]:
    """A tool offset or centre of mass: m -> mm, angles as they are."""
    return [MM_PER_M * x for x in position_m] + list(rpy_rad)


def boundary_to_sdk(low_m: Sequence[float], high_m: Sequence[float]) -> list[int]:
    """Safety boundary as x high, x low, y high, y low, z high, z low in whole mm, rounded inwards."""
    pairs = zip(low_m, high_m, strict=True)
    return [v for low, high in pairs for v in (floor(MM_PER_M * high + 1e-6), ceil(MM_PER_M * low - 1e-6))]


def speed_to_sdk(metres: float) -> float:
    """m/s or m/s^2 -> mm/s or mm/s^2."""
    return MM_PER_M * metres
