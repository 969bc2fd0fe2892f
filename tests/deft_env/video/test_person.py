"""The person of synthetic videos: which way the hand comes, and that only train objects are met."""

import numpy as np
import pytest

pytest.importorskip("mujoco")

from deft_env.episode import generator
from deft_env.registries import TASK_WORDS, tasks
from deft_env.tasks.objects import OBJECTS
from deft_env.video import synthetic_scene
from deft_env.video.synthetic_scene import SHAPE, extents, graspable, person_grasps, stage


def _grasped(task, index):
    rng = generator("test-person", task, index)
    scene = stage(task, 0, index, rng)
    return scene, person_grasps(scene, rng)


@pytest.mark.parametrize("task", ["StirSpoon", "ScoopGrape"])
@pytest.mark.parametrize("index", range(4))
def test_pads_close_across_a_leaning_handle_and_not_along_it(task, index):
    scene, grasp = _grasped(task, index)
    centre, half, axes = extents(scene.model, scene.data, graspable(scene)[0][1])
    along = axes[:, np.argmax(half)]
    keypoints = scene.hand.keypoints_m()
    pads = 0.35 * keypoints[[3, 7, 11]] + 0.65 * keypoints[[4, 8, 12]]
    closing = pads[0] - pads[1:].mean(axis=0)
    assert abs(closing @ along) / np.linalg.norm(closing) < 0.35
    assert abs(grasp.rotation[:, 0] @ along) < 0.35  # fingers square to it
    middle = 0.5 * (pads[0] + pads[1:].mean(axis=0)) - centre
    assert np.linalg.norm(middle - (middle @ along) * along) < 0.012  # on the handle, not beside it
    assert (middle @ along) * along[2] > 0  # in its upper half


def test_a_handle_that_rises_to_the_person_is_taken_from_behind():
    for index in range(3):
        scene, grasp = _grasped("FlipBagel", index)
        _, half, axes = extents(scene.model, scene.data, graspable(scene)[0][1])
        along = axes[:, np.argmax(half)]
        fingers = -grasp.rotation[:, 0]
        assert abs(fingers @ along) > 0.9  # along it
        assert fingers[0] > 0.6  # away from the person


def test_a_bunch_is_taken_from_above():
    for index in range(3):
        _, grasp = _grasped("PickGrape", index)
        assert grasp.rotation[2, 0] > 0.85  # wrist over the fingertips


def test_only_train_objects_and_no_distractor_are_met(monkeypatch):
    """What the generator draws and builds: every variant is of a train object, and nothing of the test split's."""
    seen = []
    for name in TASK_WORDS:
        kind = tasks.entry(name).load()
        held_out = set(kind.test) | ({kind.distractor.object} if kind.distractor else set())
        assert not held_out & set(kind.train)
        build = kind.build

        def spied(self, spec, variant, build=build, held_out=held_out):
            build(self, spec, variant)
            names = {body.name for body in spec.bodies}
            seen.append(variant.object)
            assert variant.object in self.train
            assert not names & held_out
            assert not names & {n for n, o in OBJECTS.items() if o.family in ("knife", "tomato", "bag")}

        monkeypatch.setattr(kind, "build", spied)
        for index in range(3):
            stage(name, 4, index, generator("test-person", index))
    assert len(seen) == 3 * len(TASK_WORDS)


def test_every_shape_can_be_built_and_has_words():
    kinds = set()
    for index in range(60):
        scene = stage(SHAPE, 0, index, generator("test-shape", index))
        kinds.add(scene.words.split()[-1])
    assert kinds == set(synthetic_scene.SHAPE_WORDS.values())
