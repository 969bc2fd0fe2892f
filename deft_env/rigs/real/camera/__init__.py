"""The RealSense camera: a driver that refuses bad pictures, and where the camera is."""

from deft_env.rigs.real.camera.calibration import CameraCalibration
from deft_env.rigs.real.camera.config import CameraConfig
from deft_env.rigs.real.camera.driver import RealSenseCamera

__all__ = ["CameraCalibration", "CameraConfig", "RealSenseCamera"]
