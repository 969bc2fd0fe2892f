"""Without the vendors' SDKs: everything imports, and what needs one says which extra installs it."""

import sys

import numpy as np
import pytest

from deft_env.rigs.real import camera_source
from deft_env.rigs.real.calibration import fiducial
from deft_env.rigs.real.camera import CameraConfig, RealSenseCamera
from deft_env.rigs.real.hand import DynamixelHand, HandConfig, dynamixel_link


@pytest.fixture(autouse=True)
def no_sdks(monkeypatch) -> None:
    for name in ("dynamixel_sdk", "pyrealsense2", "cv2"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize(
    "load", [dynamixel_link.load_sdk, camera_source.load_sdk, fiducial.load_cv2], ids=["hand", "camera", "calibration"]
)
def test_the_extra_is_named(load) -> None:
    with pytest.raises(ImportError, match=r"deft-hand\[hardware\]"):
        load()


def test_drivers_can_be_made_but_not_opened() -> None:
    with pytest.raises(ImportError, match="hardware"):
        DynamixelHand(HandConfig()).open()
    with pytest.raises(ImportError, match="hardware"):
        RealSenseCamera(CameraConfig(), np.eye(4)).start()


def test_an_opencv_without_hand_eye_is_refused(monkeypatch) -> None:
    class Five:
        __version__ = "5.0.0"

    monkeypatch.setitem(sys.modules, "cv2", Five())
    with pytest.raises(ImportError, match="<5"):
        fiducial.load_cv2()
