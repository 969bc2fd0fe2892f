"""What holds of all nine tasks: objects that differ, judges that see signals only, scenes that follow from a key."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from deft_env import grasp, registries
from deft_env.episode import EpisodeKey
from deft_env.tasks.objects import OBJECTS, SIZE_LEVELS, ObjectSpec, register_object
from deft_env.tasks.task import Task, Variant
from deft_experiments.calibrate import check_error

TASKS = tuple(registries.TASK_WORDS)
PHOTOGRAPHED = {
    "solo_cup", "blue_cup", "white_drawer", "acrylic_drawer", "wooden_spoon", "grapes", "pot", "glass_juicer",
    "plastic_juicer", "half_lemon", "pan_spatula_bagel", "knife", "toy_tomato", "sugar_bag",
}  # fmt: skip


def the_task(name: str) -> Task:
    made = registries.make_task(name)
    assert isinstance(made, Task)
    return made


def test_there_are_nine_tasks() -> None:
    assert len(TASKS) == 9


def test_the_photographed_objects_are_all_here() -> None:
    assert set(OBJECTS) >= PHOTOGRAPHED


def test_third_parties_add_objects() -> None:
    grey = (0.5, 0.5, 0.5, 1.0)
    mug = ObjectSpec("mug", "cup", {"height": (0.08, 0.10)}, (0.2, 0.3), (0.4, 0.6), (grey,))
    register_object(mug)
    register_object(mug)  # a module may be imported anew
    assert Variant("mug", (4,)).size == {"height": 0.10}
    with pytest.raises(ValueError, match="'solo_cup' is already registered"):
        register_object(ObjectSpec("solo_cup", "cup", {}, (0.2, 0.3), (0.4, 0.6), (grey,)))
    OBJECTS.pop("mug")


@pytest.mark.parametrize("name", sorted(OBJECTS))
def test_an_objects_figures_make_sense(name: str) -> None:
    spec = OBJECTS[name]
    for low, high in (*spec.sizes_m.values(), spec.mass_kg, spec.friction):
        assert 0 < low < high
    assert all(low < 0.3 for low, _ in spec.sizes_m.values()), "m, and nothing larger than a table's width"
    assert 0.2 <= spec.friction[0] <= spec.friction[1] <= 1.2
    assert all(len(colour) == 4 and min(colour) >= 0 and max(colour) <= 1 for colour in spec.rgba)


def test_levels_run_from_the_smallest_to_the_largest() -> None:
    spec = OBJECTS["solo_cup"]
    count = len(spec.sizes_m)
    assert tuple(spec.dimensions((0,) * count).values()) == tuple(low for low, _ in spec.sizes_m.values())
    assert list(spec.dimensions((SIZE_LEVELS - 1,) * count).values()) == pytest.approx(
        [high for _, high in spec.sizes_m.values()]
    )


@pytest.mark.parametrize("name", TASKS)
def test_train_and_test_objects_differ_in_shape_and_look(name: str) -> None:
    task = the_task(name)
    assert task.train
    assert task.test
    assert not set(task.train) & set(task.test)
    for one in task.objects("train"):
        for other in task.objects("test"):
            assert dict(one.sizes_m) != dict(other.sizes_m), "shape"
            assert one.rgba != other.rgba, "look"
            assert (one.mass_kg, one.friction) != (other.mass_kg, other.friction), "mass or friction"


@pytest.mark.parametrize("name", TASKS)
def test_each_split_draws_its_own_objects(name: str) -> None:
    task = the_task(name)
    for split, own in (("train", task.train), ("test", task.test)):
        drawn = {task.draw(EpisodeKey(name, split, "eval", 0, k)).variant.object for k in range(8)}
        assert drawn <= set(own)


@pytest.mark.parametrize("name", TASKS)
def test_judges_are_given_the_signals_and_nothing_else(name: str) -> None:
    task = the_task(name)
    for judge in (task.success, task.score, task.subgoals):
        assert list(inspect.signature(judge).parameters) == ["signals"]
        source = inspect.getsource(judge)
        assert "human_grasp" not in source
        assert "data[" not in source


def same(one: Task, other: Task, key: EpisodeKey) -> None:
    first, second = one.draw(key), other.draw(key)
    assert first.variant == second.variant
    assert (first.yaw_rad, first.mass_scale, first.friction) == (second.yaw_rad, second.mass_scale, second.friction)
    np.testing.assert_array_equal(first.position_m, second.position_m)
    np.testing.assert_array_equal(first.descriptor, second.descriptor)
    assert first.poses.keys() == second.poses.keys()
    for body, pose in first.poses.items():
        for a, b in zip(pose, second.poses[body], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", TASKS)
def test_a_scene_follows_from_its_key_alone(name: str) -> None:
    task, fresh = the_task(name), the_task(name)
    keys = [EpisodeKey(name, split, "eval", 5, k) for split in ("train", "test") for k in range(4)]
    for key in keys[::-1]:  # another order, and much drawn before
        task.draw(key)
    np.random.seed(1)  # noqa: NPY002 - the global generator must not matter
    for key in keys:
        same(task, fresh, key)


@pytest.mark.parametrize("name", TASKS)
def test_scenes_differ_and_stay_in_their_box(name: str) -> None:
    task = the_task(name)
    scenes = [task.draw(EpisodeKey(name, "train", "eval", 0, k)) for k in range(40)]
    positions = np.array([scene.position_m for scene in scenes])
    place = task.randomisation
    assert (np.abs(positions[:, :2] - place.centre_m) <= np.array(place.half_m) + 1e-12).all()
    assert (positions[:, :2].std(0) > 0.4 * np.array(place.half_m)).all()
    yaws = np.array([scene.yaw_rad for scene in scenes])
    assert place.yaw_rad[0] <= yaws.min() < 0 < yaws.max() <= place.yaw_rad[1]
    assert len({scene.variant for scene in scenes}) > 3


@pytest.mark.parametrize("name", TASKS)
def test_descriptors_have_no_mean_and_unit_variance(name: str) -> None:
    task = the_task(name)
    rows = np.array([task.draw(EpisodeKey(name, "train", "eval", 2, k)).descriptor for k in range(300)])
    np.testing.assert_allclose(rows.mean(0), 0.0, atol=0.25)
    np.testing.assert_allclose(rows.std(0), 1.0, atol=0.2)


@pytest.mark.parametrize("name", TASKS)
def test_the_priors_error_keeps_the_rules(name: str) -> None:
    error = the_task(name).prior_error
    assert check_error(error) == []
    directions = np.flatnonzero(error.common)
    assert 1 <= len(directions) <= 3, "one to three directions that mean something"
    assert directions.max() < grasp.FINGERS.start
    assert np.sqrt(np.mean(error.dependent**2)) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("name", TASKS)
def test_a_variant_knows_its_object(name: str) -> None:
    task = the_task(name)
    variant = task.draw(EpisodeKey(name, "test", "eval", 0, 0)).variant
    assert isinstance(variant, Variant)
    assert list(variant.size) == list(OBJECTS[variant.object].sizes_m)


@pytest.mark.parametrize("name", ["pot_and_wooden_spoon", "dish_and_steel_spoon", "solo_cup", "grapes"])
def test_few_sizes_and_every_pair_of_levels_among_them(name: str) -> None:
    draws = np.random.default_rng(0)
    sizes = np.array(sorted({OBJECTS[name].draw_levels(draws) for _ in range(5000)}))
    assert len(sizes) <= SIZE_LEVELS**3  # what is compiled in the end
    assert sizes.shape[1] == len(OBJECTS[name].sizes_m)
    for i in range(sizes.shape[1]):
        for j in range(i):
            pairs = np.unique(sizes[:, [i, j]], axis=0, return_counts=True)[1]
            assert len(pairs) == SIZE_LEVELS**2
            assert len(set(pairs)) == 1
