"""The pytest fixtures show the scenes of the task that a test asks for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("xarm")
pytest.importorskip("dynamixel_sdk")

from deft_env.episode import EpisodeKey
from deft_env.rigs.real.rig import RealRig
from deft_mocks.fixtures import _task, mock_rig, real_rig  # noqa: F401 - fixtures
from deft_mocks.rig import MockRig


def test_pick_cup_unless_said_otherwise(mock_rig: MockRig) -> None:  # noqa: F811
    assert mock_rig.world.key.task == "PickCup"


@pytest.mark.deft_task("OpenDrawer")
def test_a_marker_names_the_task(real_rig: RealRig, mock_rig: MockRig) -> None:  # noqa: F811
    assert mock_rig.world.key.task == "OpenDrawer"
    assert type(mock_rig.world.task).__name__ == "OpenDrawer"
    frames = real_rig.reset_batch([EpisodeKey("OpenDrawer", "train", "train", 0, 1)])
    assert len(frames) == 1
    assert mock_rig.world.key.task == "OpenDrawer"


@pytest.mark.deft_task("OpenDrawer")
@pytest.mark.parametrize("mock_rig", ["FlipBagel"], indirect=True)
def test_a_parameter_goes_before_the_marker(mock_rig: MockRig) -> None:  # noqa: F811
    assert mock_rig.world.key.task == "FlipBagel"


@pytest.mark.parametrize(
    ("args", "kwargs", "param", "message"),
    [
        (("OpenDoor",), {}, None, "deft_task: unknown task 'OpenDoor'.*Did you mean 'OpenDrawer'"),
        ((), {}, None, "deft_task: expected one name"),
        (("PickCup", "OpenDrawer"), {}, None, "deft_task: expected one name"),
        ((), {"name": "OpenDrawer"}, None, "deft_task: expected one name"),
        (("PickCup",), {}, "OpenDoor", "mock_rig: unknown task 'OpenDoor'"),
    ],
)
def test_a_wrong_name_is_said(args: tuple[str, ...], kwargs: dict[str, str], param: str | None, message: str) -> None:
    node = SimpleNamespace(get_closest_marker=lambda _: SimpleNamespace(args=args, kwargs=kwargs))
    request: Any = SimpleNamespace(node=node) if param is None else SimpleNamespace(node=node, param=param)
    with pytest.raises(pytest.UsageError, match=message):
        _task(request)
