"""Pytest fixtures for your own CI: ``pytest_plugins = ["deft_mocks.fixtures"]`` in a conftest, or import them.

``mock_rig`` is a running ``MockRig``, ``real_rig`` a ``RealRig`` that drives it through the vendors' SDKs. Their scenes
are those of PickCup, or of the task that a marker names; indirect parameters do the same for several tasks:

    @pytest.mark.deft_task("OpenDrawer")
    def test_a_drawer(real_rig): ...

    @pytest.mark.parametrize("mock_rig", ["PickCup", "OpenDrawer"], indirect=True)
    def test_both(mock_rig, real_rig): ...

Both need the extra ``hardware`` and off-screen OpenGL, and are skipped without the SDKs. As a plugin the module
registers its marker; where the fixtures are imported, only ``--strict-markers`` needs it in your own configuration.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from deft_env.rigs.real.rig import RealRig
    from deft_mocks.rig import MockRig

DEFAULT_TASK: Final = "PickCup"


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker ``deft_task``."""
    config.addinivalue_line(
        "markers", "deft_task(name): task whose scenes mock_rig and real_rig show (default PickCup)"
    )


def _task(request: pytest.FixtureRequest) -> str:
    """The task that a test wants: its own parameter, else the nearest marker's, else the default."""
    from deft_env.registries import tasks
    from deft_env.registry import UnknownNameError

    marker = request.node.get_closest_marker("deft_task")
    if hasattr(request, "param"):
        name, where = request.param, "mock_rig"
    elif marker is None:
        return DEFAULT_TASK
    elif len(marker.args) != 1 or marker.kwargs:
        raise pytest.UsageError(
            f"deft_task: expected one name, such as deft_task('OpenDrawer'), got {marker.args} {marker.kwargs}"
        )
    else:
        name, where = marker.args[0], "deft_task"
    try:
        tasks.entry(str(name))
    except UnknownNameError as error:
        raise pytest.UsageError(f"{where}: {error}") from None
    return str(name)


@pytest.fixture
def mock_rig(request: pytest.FixtureRequest) -> Iterator[MockRig]:
    """The mocks of arm, hand and camera with one simulated world behind them."""
    task = _task(request)
    for module in ("xarm", "dynamixel_sdk", "pyrealsense2"):
        if module == "pyrealsense2":
            from deft_env.rigs.real.camera_source import load_sdk

            try:
                load_sdk()
            except ImportError as error:
                pytest.skip(str(error))
        else:
            pytest.importorskip(module, reason="pip install 'deft-hand[hardware]'")
    from deft_mocks.rig import MockRig

    with MockRig(task) as mock:
        yield mock


@pytest.fixture
def real_rig(mock_rig: MockRig) -> Iterator[RealRig]:
    """The real rig, connected to ``mock_rig``."""
    from deft_env.rigs.real.rig import RealRig
    from deft_env.rigs.real.rig_config import RealRigConfig

    with RealRig(RealRigConfig(file=str(mock_rig.config_path))) as rig:
        yield rig
