"""Pytest fixtures for your own CI: ``pytest_plugins = ["deft_mocks.fixtures"]`` in a conftest, or import them.

``mock_rig`` is a running ``MockRig`` of PickCup, ``real_rig`` a ``RealRig`` that drives it through the vendors' SDKs.
Both need the extra ``hardware`` and off-screen OpenGL, and are skipped without the SDKs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from deft_env.rigs.real.rig import RealRig
    from deft_mocks.rig import MockRig


@pytest.fixture
def mock_rig() -> Iterator[MockRig]:
    """The mocks of arm, hand and camera with one simulated world behind them."""
    for module in ("xarm", "dynamixel_sdk", "pyrealsense2"):
        if module == "pyrealsense2":
            from deft_env.rigs.real.camera_source import load_sdk

            try:
                load_sdk()
            except ImportError as error:
                pytest.skip(str(error))
        else:
            pytest.importorskip(module, reason="pip install 'deft[hardware]'")
    from deft_mocks.rig import MockRig

    with MockRig("PickCup") as mock:
        yield mock


@pytest.fixture
def real_rig(mock_rig: MockRig) -> Iterator[RealRig]:
    """The real rig, connected to ``mock_rig``."""
    from deft_env.rigs.real.rig import RealRig
    from deft_env.rigs.real.rig_config import RealRigConfig

    with RealRig(RealRigConfig(file=str(mock_rig.config_path))) as rig:
        yield rig
