"""The one world behind the mocks: what a task's worlds do beyond physics happens here too, and only once it is due."""

from __future__ import annotations

import numpy as np
import pytest

from deft_env.episode import EpisodeKey
from deft_env.tasks.pick_grape import BREAK_M, GRAPES, stretch_sensor
from deft_mocks.rig_world import TICK_S, RigWorld

PULLED = "grape4"


def _holds(world: RigWorld) -> list[bool]:
    return [bool(world.data.eq_active[world.model.equality(name).id]) for name in GRAPES]


def _pull(world: RigWorld, by_m: float) -> None:
    """Moves one grape outwards, away from its place on the stalk."""
    scene = world.task.draw(world.key)
    outward = scene.poses[PULLED][0] - scene.poses["stalk"][0]
    outward[2] = 0.0
    address = world.model.jnt_qposadr[world.model.joint(PULLED).id]
    world.data.qpos[address : address + 3] += by_m * outward / np.linalg.norm(outward)


def _pass(world: RigWorld, seconds: float, *, streamed: bool) -> None:
    for _ in range(round(seconds / TICK_S)):
        world.advance(TICK_S, recorded=streamed)


@pytest.mark.parametrize("streamed", [True, False])
def test_a_stem_breaks_in_the_mock_rig_too(streamed: bool) -> None:
    world = RigWorld("PickGrape")
    _pull(world, 0.5 * BREAK_M)
    _pass(world, 0.1, streamed=streamed)
    assert _holds(world) == [True] * len(GRAPES)
    _pull(world, 2.0 * BREAK_M)
    _pass(world, 0.4, streamed=streamed)
    # For good: by then the grape lies still, and its stem does not come back.
    assert _holds(world) == [name != PULLED for name in GRAPES]
    if streamed:
        series = np.stack(world.record)[:, world._slices[stretch_sensor(PULLED)]]
        assert np.linalg.norm(series, axis=1).max() > BREAK_M
    # A new bunch for the next episode.
    world.reset(EpisodeKey("PickGrape", "train", "train", 0, 1))
    assert all(_holds(world))


def test_ticks_count_from_the_first_streamed_set_point() -> None:
    world = RigWorld("PickGrape")
    seen: list[int] = []
    world._tick = lambda batch, index: seen.append(index)
    world.advance(1.5 * TICK_S, recorded=False)
    assert seen == [0]
    for _ in range(3):
        world.advance(TICK_S, recorded=True)
    assert len(world.record) == 3
    assert seen == [0, 1, 2, 3]
