"""The real rig's configuration: sections of a file (``rig_file``) as frozen dataclasses."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from deft_env.registry import Entry, Registry
from deft_env.rigs.real.arm import ArmConfig
from deft_env.rigs.real.camera import CameraCalibration, CameraConfig
from deft_env.rigs.real.hand import HandConfig, MotorConfig, MotorMap
from deft_env.rigs.real.rig_file import from_mapping, load_file
from deft_env.rigs.safety import SafetyLimits
from deft_env.sim import robot
from deft_env.sim.controls import ControlOptions

frame_sources: Final = Registry("frame source", "deft.frame_sources")
"""Where the camera's framesets come from: ``make(**options) -> FramesetSource``; third parties add theirs."""
frame_sources.register(Entry("pipeline", "deft_env.rigs.real.camera_source:PipelineSource", "a camera on USB"))


@dataclass(frozen=True, slots=True)
class MotionConfig:
    """How the rig moves between and in episodes (our choice).

    Attributes:
        clearance_m: how far above the pre-grasp the arm comes from and goes to.
        parked_rad: (6,) posture out of the camera's view, in which people reset the scene.
        max_stretch: a path that is too fast is played slower by at most this factor; one that needs more is refused.
        watchdog_s: silence of the control loop after which the arm is stopped.
        paced: keep to real time; False only for stand-ins whose clock stands still between commands.
        resend_ticks: how often the hand is sent its goal again, which also notices its alarms.
        attempts: how often a reset is tried, with the operator's help, before the scene is given up.
    """

    clearance_m: float = 0.10
    parked_rad: tuple[float, ...] = robot.ARM_PARKED_RAD
    max_stretch: float = 4.0
    watchdog_s: float = 1.0
    paced: bool = True
    resend_ticks: int = 10
    attempts: int = 3

    def __post_init__(self) -> None:
        if len(self.parked_rad) != 6:
            raise ValueError(f"parked_rad: expected six joint angles, got {len(self.parked_rad)}")
        if not (0.0 <= self.clearance_m <= 0.3 and self.max_stretch >= 1.0 and self.watchdog_s > 0.0):
            raise ValueError(
                "clearance_m, max_stretch, watchdog_s: expected 0 to 0.3, at least 1, more than 0, got "
                f"{self.clearance_m}, {self.max_stretch}, {self.watchdog_s}"
            )
        if self.resend_ticks < 1 or self.attempts < 1:
            raise ValueError(f"resend_ticks, attempts: at least 1, got {self.resend_ticks}, {self.attempts}")


@dataclass(frozen=True, slots=True)
class RealRigConfig:
    """What ``--rig real`` takes: the name of a file, or its sections.

    Attributes:
        file: YAML, TOML or JSON with the sections below; then nothing else may be given.
        arm: ``ArmConfig``; the tool point is the hand's grasp site unless said otherwise.
        hand: ``HandConfig``, and ``motor_map``: a file of ``deft calibrate hand``, or ``nominal`` (assumed hand).
        camera: ``CameraConfig``; ``calibration``: a file of ``deft calibrate camera``, or ``T_base_cam`` (4, 4); and
            ``source``: ``{name: pipeline, …}``.
        operator: ``{name: terminal, …}``.
        safety: ``SafetyLimits``.
        motion: ``MotionConfig``.
        timing: ``deft_env.sim.controls.ControlOptions``.
        judge: whether the rig itself asks the operator for success and score: ``never`` (the human reward does),
            in ``evaluation`` episodes (with rewards that look at pictures), or ``always``.
        stand_in: whether the devices are mocks; outputs name it as such.
    """

    file: str = ""
    arm: Mapping[str, Any] = field(default_factory=dict)
    hand: Mapping[str, Any] = field(default_factory=dict)
    camera: Mapping[str, Any] = field(default_factory=dict)
    operator: Mapping[str, Any] = field(default_factory=dict)
    safety: Mapping[str, Any] = field(default_factory=dict)
    motion: Mapping[str, Any] = field(default_factory=dict)
    timing: Mapping[str, Any] = field(default_factory=dict)
    judge: Literal["never", "evaluation", "always"] = "never"
    stand_in: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class RigSettings:
    """A configuration that was read and checked; see ``RealRigConfig``."""

    arm: ArmConfig
    hand: HandConfig
    motor_map: MotorMap
    camera: CameraConfig
    T_base_cam: NDArray[np.float64]
    source: tuple[str, Mapping[str, Any]]
    operator: tuple[str, Mapping[str, Any]]
    safety: SafetyLimits
    motion: MotionConfig
    timing: ControlOptions
    judge: str
    stand_in: bool


def before_calibration(data: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """A configuration whose calibration files need not exist yet, as when a rig is set up.

    Args:
        data: of ``load_file``.

    Returns:
        The configuration with the camera at the origin and the nominal hand in place of files that are not there, and
        what `deft calibrate` has yet to make: of ``camera`` and ``hand``.
    """
    out, missing = dict(data), []
    camera, hand = data.get("camera") or {}, data.get("hand") or {}
    if isinstance(camera, Mapping) and "T_base_cam" not in camera and not _is_file(camera.get("calibration")):
        rest = {key: value for key, value in camera.items() if key != "calibration"}
        out["camera"] = {**rest, "T_base_cam": np.eye(4).tolist()}
        missing.append("camera")
    motor_map = hand.get("motor_map", "nominal") if isinstance(hand, Mapping) else "nominal"
    if motor_map != "nominal" and not _is_file(motor_map):
        out["hand"] = {**hand, "motor_map": "nominal"}
        missing.append("hand")
    return out, missing


def _is_file(name: object) -> bool:
    return isinstance(name, str) and Path(name).is_file()


def settings(config: RealRigConfig) -> RigSettings:
    """Reads and checks a configuration.

    Raises:
        ValueError: naming section and key: what was expected, what came.
    """
    if config.file:
        others = [
            f.name for f in dataclasses.fields(config) if f.name != "file" and getattr(config, f.name) != _bare(f)
        ]
        if others:
            raise ValueError(f"file: with a configuration file nothing else may be given, got {', '.join(others)}")
        config = from_mapping(RealRigConfig, load_file(config.file), str(config.file))
        if config.file:
            raise ValueError("file: a configuration file cannot name another")
    if config.judge not in ("never", "evaluation", "always"):
        raise ValueError(f"judge: expected 'never', 'evaluation' or 'always', got {config.judge!r}")
    hand, camera = dict(config.hand), dict(config.camera)
    motor_map = hand.pop("motor_map", "nominal")
    source = dict(camera.pop("source", None) or {})
    if "motors" in hand:
        hand["motors"] = tuple(from_mapping(MotorConfig, m, f"hand.motors[{i}]") for i, m in enumerate(hand["motors"]))
    arm = {
        "tool_offset_m": robot.GRASP_SITE_FROM_FLANGE_M,
        # Parked, the tool is beside the base, and it swings out on its way there: wider than the arm's own default.
        "boundary_low_m": (-0.30, -0.70, 0.0),
        "boundary_high_m": (0.85, 0.70, 0.90),
        **config.arm,
    }
    operator = dict(config.operator)
    pose = _camera_pose(camera)
    camera_config = from_mapping(CameraConfig, camera, "camera")
    if source.get("name", "pipeline") == "pipeline":
        source = {"fps": camera_config.fps, "serial": camera_config.serial, **source}
    return RigSettings(
        arm=from_mapping(ArmConfig, arm, "arm"),
        hand=from_mapping(HandConfig, hand, "hand"),
        motor_map=MotorMap.nominal() if motor_map == "nominal" else MotorMap.load(motor_map),
        camera=camera_config,
        T_base_cam=pose,
        source=(str(source.pop("name", "pipeline")), source),
        operator=(str(operator.pop("name", "terminal")), operator),
        safety=from_mapping(SafetyLimits, config.safety, "safety"),
        motion=from_mapping(MotionConfig, config.motion, "motion"),
        timing=from_mapping(ControlOptions, config.timing, "timing"),
        judge=config.judge,
        stand_in=config.stand_in,
    )


def _bare(f: dataclasses.Field[Any]) -> Any:
    return f.default if f.default_factory is dataclasses.MISSING else f.default_factory()


def _camera_pose(camera: dict[str, Any]) -> NDArray[np.float64]:
    file, inline = camera.pop("calibration", ""), camera.pop("T_base_cam", None)
    if bool(file) == (inline is not None):
        raise ValueError(
            "camera: give either calibration, a file that `deft calibrate camera` wrote, or T_base_cam (4, 4)"
        )
    if file:
        return CameraCalibration.load(file).T_base_cam
    try:
        pose = np.array(inline, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"camera.T_base_cam: expected four rows of four numbers, got {inline!r}") from None
    if pose.shape != (4, 4) or not np.isfinite(pose).all():
        raise ValueError(f"camera.T_base_cam: expected four rows of four finite numbers, got shape {pose.shape}")
    return pose
