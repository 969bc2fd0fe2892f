"""Batched execution: identity, per-world models, faults, strikes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from deft_env.sim import execute, names, world

POSITION = "thing_position"
N = 16


@pytest.fixture(scope="module")
def scenes(make_cup: Callable[..., Any], make_grasp: Callable[..., Any]) -> tuple[list[Any], np.ndarray]:
    rng = np.random.default_rng(3)
    models = [
        make_cup(rng.uniform(0.03, 0.04), rng.uniform(0.08, 0.11), rng.uniform(0.05, 0.15), rng.uniform(0.3, 0.9))
        for _ in range(N)
    ]
    grasps = np.repeat(make_grasp((0.45, 0.0, 0.085), 0.4, 0.6)[None], N, axis=0)
    grasps[:, :3] += rng.normal(0.0, 0.01, (N, 3))
    grasps[:, 3:6] += rng.normal(0.0, 0.1, (N, 3))
    return models, grasps


@pytest.fixture(scope="module")
def whole(scenes: tuple[list[Any], np.ndarray], run: Callable[..., Any]) -> execute.Playback:
    return run(*scenes, threads=2)[1]


@pytest.mark.parametrize(("rows", "threads"), [(range(N), 1), ([0], 1), ([5], 2), ([3, 11, 7], 2)])
def test_bits_do_not_depend_on_batch_or_threads(
    scenes: tuple[list[Any], np.ndarray],
    whole: execute.Playback,
    run: Callable[..., Any],
    rows: Any,
    threads: int,
) -> None:
    rows = list(rows)
    _, part = run([scenes[0][i] for i in rows], scenes[1][rows], threads=threads)
    assert np.array_equal(part.final_qpos, whole.final_qpos[rows])
    assert np.array_equal(part.strike_n, whole.strike_n[rows])
    for name, series in whole.sensors.items():
        assert np.array_equal(part.sensors[name], series[rows]), name


def test_each_world_has_its_own_size_mass_and_friction(
    make_cup: Callable[..., Any], run: Callable[..., Any], make_grasp: Callable[..., Any]
) -> None:
    models = [make_cup(), make_cup(friction=0.01), make_cup(mass_kg=4.0), make_cup(radius_m=0.02), make_cup()]
    _, played = run(models, np.repeat(make_grasp((0.45, 0.0, 0.085), 0.4, 0.6)[None], 5, axis=0))
    height = played.sensors[POSITION][:, -1, 2]
    assert height[0] > 0.15
    assert height[1] < 0.08
    assert height[2] < 0.10
    assert height[3] != height[0]
    assert height[4] == height[0]


def test_series_have_one_row_a_tick(cup: Any, run: Callable[..., Any], make_grasp: Callable[..., Any]) -> None:
    plan, played = run(cup, make_grasp((0.45, 0.0, 0.085), 0.4, 0.6)[None], film_every=10)
    ticks = plan.controls.shape[1]
    assert played.sensors[names.GRASP_POSITION_SENSOR].shape == (1, ticks, 3)
    assert played.film_qpos.shape == (1, 1 + ticks // 10, cup.nq)
    np.testing.assert_array_equal(played.film_qpos[:, -1], played.final_qpos)
    assert not played.faulted.any()


def test_an_unstable_world_is_faulted_and_alone(
    cup: Any, run: Callable[..., Any], make_grasp: Callable[..., Any]
) -> None:
    plan, good = run(cup, np.repeat(make_grasp((0.45, 0.0, 0.085), 0.4, 0.6)[None], 2, axis=0))
    qpos = np.repeat(cup.qpos0[None], 2, axis=0)
    for i in range(2):
        qpos[i] = execute.robot_qpos(cup, cup.qpos0, plan.arm_qpos[i], plan.hand_qpos[i])
    qpos[0, -7:-4] = 1e11
    played = execute.play(cup, qpos, plan.controls, substeps=5)
    assert played.faulted.tolist() == [True, False]
    assert "unstable" in played.reason[0]
    assert np.array_equal(played.final_qpos[1], good.final_qpos[1])


def test_a_hard_strike_on_the_table_is_seen(
    empty: Any, run: Callable[..., Any], make_grasp: Callable[..., Any]
) -> None:
    grasps = np.stack([make_grasp((0.45, 0.0, z), 0.4, 0.3) for z in (0.10, 0.01)])
    _, played = run(empty, grasps)
    assert played.strike_n[0] == 0.0
    assert played.strike_n[1] > world.STRIKE_LIMIT_N


def test_tick_is_called_after_every_control_tick(
    cup: Any, run: Callable[..., Any], make_grasp: Callable[..., Any]
) -> None:
    grasps = make_grasp((0.45, 0.0, 0.085), 0.4, 0.6)[None]
    seen: list[int] = []
    plan, with_tick = run(cup, grasps, tick=lambda worlds, index: seen.append(index))
    assert seen == list(range(plan.controls.shape[1]))
    assert np.array_equal(with_tick.final_qpos, run(cup, grasps)[1].final_qpos)


def test_wrong_sizes_are_named(cup: Any) -> None:
    with pytest.raises(ValueError, match="qpos, controls"):
        execute.play(cup, np.zeros((2, 3)), np.zeros((2, 5, cup.nu)), substeps=5)
