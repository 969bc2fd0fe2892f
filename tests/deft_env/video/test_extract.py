"""Clips to labels and shards: filters counted by reason, the geometry of contacts, resuming, any number of workers."""

import dataclasses
import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from deft_env import paper
from deft_env.demonstration import Demonstration
from deft_env.prior import retarget
from deft_env.video import extract, shards, trajectory
from deft_env.video.crops import EmptyCropError, cut, square_box
from deft_env.video.labels import LabelConfig, SkippedError, contact_points, label_clip, mixture_centres
from deft_env.video.records import Clip, Dataset, HandBox, HandPose, ObjectBox, UnreadableError


class Scripted(Dataset):
    """A dataset in memory: a hand that touches a box from frame 5 on."""

    name = "scripted"

    def __init__(self, **changes):
        self.changes = changes

    def clips(self):
        return [Clip("a", "v", 0, 20, "#C C takes the cup")]

    def image(self, clip, frame):
        image = np.zeros((200, 300, 3), np.uint8)
        image[60:100, 100:160] = 255
        return image

    def hands(self, clip, frame):
        state = "portable" if frame >= 5 or frame == 2 else "none"
        hand = HandBox(np.array([150.0, 60, 220, 120]), 0.9, state, self.changes.get("side", "right"),
                       np.array([140.0, 90.0]))  # fmt: skip
        return [] if self.changes.get("no_hands") else [hand]

    def touched(self, clip, frame):
        return [ObjectBox(np.array([110.0, 70, 170, 110]), 0.9), ObjectBox(np.array([0.0, 0, 20, 20]), 0.99)]

    def objects(self, clip, frame):
        if self.changes.get("no_object"):
            return [ObjectBox(np.array([250.0, 150, 290, 190]), 0.9)]
        return [ObjectBox(np.array([100.0, 60, 160, 100]), 0.9), ObjectBox(np.array([200.0, 0, 260, 40]), 0.95)]

    def pose(self, clip, frame):
        if "pose" in self.changes:
            if isinstance(self.changes["pose"], Exception):
                raise self.changes["pose"]
            return self.changes["pose"]
        joints = np.tile([160.0, 100.0], (21, 1)) + np.arange(42).reshape(21, 2) % 5
        return HandPose(np.full(45, 0.1), False, np.array([0.1, 0.2, 0.3]), joints)


def test_a_label_is_what_the_clip_shows():
    dataset = Scripted()
    label = label_clip(dataset, dataset.clips()[0], LabelConfig())
    assert label.contact_frame == 5  # frame 2 is a false contact of one frame
    assert label.instruction == "takes the cup"
    assert label.clip == "scripted/a"
    assert np.allclose(label.box, [91, 41, 169, 119])  # a square of 1.3 times the longer side
    # In the contact frame the joints lie near (162, 102), in the first frame 10 px up and left of that.
    assert np.allclose(label.contacts.mean(0), [(152 - 91) / 78, (92 - 41) / 78], atol=0.02)
    assert label.image.shape == (224, 224, 3)
    white = np.argwhere(label.image[..., 0] > 128)
    assert np.allclose(white.min(0), [19 / 78 * 224, 9 / 78 * 224], atol=2)
    assert np.allclose(label.pose, 0.1)


@pytest.mark.parametrize(
    ("changes", "clip", "reason"),
    [
        ({}, {"stop": 5}, "too short"),
        ({}, {"narration": "#Unsure"}, "no language"),
        ({"side": "left"}, {}, "left hand"),
        ({"no_hands": True}, {}, "no contact"),
        ({"no_object": True}, {}, "object not in the first frame"),
        ({"pose": None}, {}, "no hand pose"),
        ({"pose": UnreadableError("cut short")}, {}, "unreadable file"),
    ],
)
def test_filters_name_their_reason(changes, clip, reason):
    dataset = Scripted(**changes)
    with pytest.raises(SkippedError, match=reason):
        label_clip(dataset, dataclasses.replace(dataset.clips()[0], **clip), LabelConfig())


def test_relative_poses_need_mano():
    pose = HandPose(np.zeros(45), True, np.zeros(3))
    dataset = Scripted(pose=pose)
    with pytest.raises(ValueError, match="MANO_RIGHT"):
        label_clip(dataset, dataset.clips()[0], LabelConfig())


def test_without_joints_the_overlap_of_hand_and_object_counts():
    hand = HandBox(np.array([50.0, 0, 100, 100]), 1.0, "portable", "right", np.zeros(2))
    pose = HandPose(np.zeros(45), False, np.zeros(3))
    points = contact_points(pose, hand, np.array([80.0, 20, 200, 60]))
    assert len(points) == 25
    assert np.allclose(points.mean(0), [90, 40])
    with pytest.raises(SkippedError, match="do not meet"):
        contact_points(pose, hand, np.array([120.0, 20, 200, 60]))


def test_mixture_finds_clusters_and_copes_with_few_points():
    rng = np.random.default_rng(0)
    truth = np.array([[0.1, 0.1], [0.3, 0.8], [0.5, 0.5], [0.7, 0.2], [0.9, 0.9]])
    points = np.concatenate([c + rng.normal(0, 0.01, (20, 2)) for c in truth])
    assert np.allclose(mixture_centres(points), truth, atol=0.02)
    for few in (truth[:1], truth[:2], np.repeat(truth[:1], 9, axis=0)):
        centres = mixture_centres(few)
        assert centres.shape == (paper.CONTACT_POINTS, 2)
        assert np.allclose(centres.mean(0), few.mean(0), atol=0.1)
    assert np.array_equal(mixture_centres(points), mixture_centres(points))


def test_crops_at_the_edge_are_padded_and_empty_ones_refused():
    image = np.full((100, 100, 3), 200, np.uint8)
    square = square_box([80, 80, 120, 120], image.shape)
    assert np.allclose(square, [77, 77, 103, 103])
    out = cut(image, square, 52)
    assert np.all(out[:40, :40] == 200)
    assert abs(int(out[50, 50, 0]) - 124) < 10
    for box in ([5, 5, 5, 9], [200, 200, 260, 260], [10, 10, 13, 13], [0, 0, np.nan, 5]):
        with pytest.raises(EmptyCropError):
            square_box(box, image.shape)


def test_shards_refuse_what_they_are_not(tmp_path):
    path = tmp_path / "shard-00000.npz"
    shards.write_shard(path, extract.stack([label_clip(Scripted(), Scripted().clips()[0], LabelConfig())]))
    labels = shards.read_shard(path)
    assert len(labels) == 1
    data = dict(np.load(path))
    for change in (
        {"contacts": data["contacts"] + 2},
        {"pose": data["pose"][:, :44]},
        {"wrist": data["wrist"] * np.nan},
    ):
        np.savez(path, **{**data, **change})
        with pytest.raises(ValueError, match=next(iter(change))):
            shards.read_shard(path)
    np.savez(path, images=data["images"])
    with pytest.raises(ValueError, match="expected the arrays"):
        shards.read_shard(path)
    path.write_bytes(b"PK broken")
    with pytest.raises(ValueError, match="not a readable shard"):
        shards.read_shard(path)
    with pytest.raises(ValueError, match="deft extract"):
        shards.shard_paths(tmp_path / "none")


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Twelve synthetic videos, in the real formats."""
    pytest.importorskip("mujoco")
    from deft_env.sim.render import RenderingUnavailableError
    from deft_env.video.synthetic import Noise, SyntheticConfig, make_videos

    root = tmp_path_factory.mktemp("synthetic")
    config = SyntheticConfig(str(root / "v"), 12, tasks=("PickCup", "OpenDrawer"), noise=Noise(left=0.15, broken=0.1))
    try:
        counts = make_videos(config)
    except RenderingUnavailableError as error:
        pytest.skip(str(error))
    return root, config, counts


def run(videos, out, **changes):
    root = videos[0]
    config = extract.ExtractConfig("epic-kitchens", str(root / "v"), str(out), poses="hamer", **changes)
    return extract.extract(config)


def test_synthetic_videos_go_through_the_unchanged_pipeline(videos, tmp_path):
    result = run(videos, tmp_path / "a")
    assert result.clips == videos[2]["clips"]
    assert result.labels + sum(result.skipped.values()) == result.clips
    assert result.labels >= 4
    labels = shards.read_folders([tmp_path / "a"])
    assert set(labels.instructions) & {"pick up the cup", "open the drawer"}
    assert all(c.startswith("epic-kitchens/S00_") for c in labels.clips)
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert manifest["labels"] == result.labels
    assert manifest["skipped"] == dict(result.skipped)
    assert (tmp_path / "a" / "contact-sheet.png").stat().st_size > 1000
    fingers = retarget.retarget_fingers(labels.pose.astype(np.float64))
    assert fingers[:, 1::4].mean() > 0.2  # hands that grasp are bent


def test_extraction_goes_on_and_does_not_depend_on_workers(videos, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_LABELS", 3)
    run(videos, tmp_path / "a")
    run(videos, tmp_path / "b", workers=2)
    a, b = shards.read_folders([tmp_path / "a"]), shards.read_folders([tmp_path / "b"])
    assert np.array_equal(a.images, b.images)
    assert np.array_equal(a.contacts, b.contacts)
    (tmp_path / "a" / "shard-00001.json").unlink()  # as if interrupted while writing it
    before = (tmp_path / "a" / "shard-00000.npz").stat().st_mtime_ns
    run(videos, tmp_path / "a")
    assert (tmp_path / "a" / "shard-00000.npz").stat().st_mtime_ns == before
    assert np.array_equal(shards.read_folders([tmp_path / "a"]).images, a.images)
    with pytest.raises(ValueError, match="another extraction"):
        run(videos, tmp_path / "a", limit=3)


def test_frankmocap_without_mano_is_said_before_any_work(videos, tmp_path):
    with pytest.raises(ValueError, match=r"labels\.mano"):
        extract.extract(extract.ExtractConfig("epic-kitchens", str(videos[0] / "v"), str(tmp_path / "o")))
    with pytest.raises(ValueError, match="dataset"):
        extract.ExtractConfig("epic", ".", ".")


def test_synthetic_videos_are_a_function_of_seed_and_index(videos, tmp_path):
    from deft_env.video.synthetic import make_clip, make_videos

    root, config, _ = videos
    again = dataclasses.replace(config, out=str(tmp_path / "v"))
    row = make_clip(again, 4) or make_clip(again, 5)
    for name in (f"hand-objects/{row['video_id']}.pkl", f"frames/{row['video_id']}/frame_0000000001.jpg"):
        assert (tmp_path / "v" / name).read_bytes() == (root / "v" / name).read_bytes()
    with pytest.raises(ValueError, match="another configuration"):
        make_videos(dataclasses.replace(config, clips=13))


def test_synthetic_grasps_never_come_from_the_tasks():
    """The generator may place a task's objects; it may not know how the task's reference grasps them."""
    import inspect

    from deft_env.video import human_hand, synthetic, synthetic_scene

    for module in (human_hand, synthetic, synthetic_scene):
        source = inspect.getsource(module)
        for word in ("human_grasp", "grasp_frame", "reference", "PriorError", "truths", "prior_error"):
            assert word not in source, f"{module.__name__} mentions {word}"


def track(steps, speed):
    rotation = Rotation.from_euler("z", 0.7).as_matrix() @ np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    R = np.array([Rotation.from_rotvec([0, 0, 0.01 * i]).as_matrix() @ rotation for i in range(steps)])
    p = np.array([[0.4, 0.1, 0.2]]) + np.outer(np.arange(steps), speed)
    return R, p


NOMINAL = np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, -1]])


def test_displacements_are_the_change_of_the_grasp_in_the_frame_of_its_yaw():
    R, p = track(60, [0.0, 0.0, 0.002])
    R[:] = R[0]
    d, yaw = trajectory.displacements(R, p, np.eye(4), NOMINAL)
    assert d.shape == (40, 6)
    assert np.allclose(d, [0, 0, 0.002, 0, 0, 0], atol=1e-9)
    forward = np.array([np.cos(yaw), np.sin(yaw), 0]) * 0.003
    d, _ = trajectory.displacements(R, np.array([0.4, 0.1, 0.2]) + np.outer(np.arange(60), forward), np.eye(4), NOMINAL)
    assert np.allclose(d[:, :3], [0.003, 0, 0], atol=1e-9)  # along its own heading, whatever that is


def test_turning_the_whole_demonstration_changes_its_yaw_alone():
    R, p = track(41, [0.001, 0.0, 0.002])
    d, yaw = trajectory.displacements(R, p, np.eye(4), NOMINAL)
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_euler("z", 0.4).as_matrix()
    e, other = trajectory.displacements(R, p, turned, NOMINAL)
    assert np.allclose(d, e, atol=1e-9)
    assert other - yaw == pytest.approx(0.4)


def test_gaps_are_bridged_and_long_ones_refused():
    R, p = track(50, [0.001, 0, 0])
    rows = [None if 10 <= i < 15 else r for i, r in enumerate(R)]
    places = [None if 10 <= i < 15 else x for i, x in enumerate(p)]
    turned, moved = trajectory.fill_gaps(rows, places)
    assert np.allclose(turned, R, atol=1e-9)
    assert np.allclose(moved, p)
    with pytest.raises(ValueError, match="lost for 20 frames"):
        trajectory.fill_gaps([None if 10 <= i < 30 else r for i, r in enumerate(R)], list(p))
    with pytest.raises(ValueError, match="start or the end"):
        trajectory.fill_gaps([None, *R[1:]], list(p))
    with pytest.raises(ValueError, match="lower the stride"):
        trajectory.displacements(R[:20], p[:20], np.eye(4), NOMINAL)


def test_demo_to_trajectory_writes_a_demonstration_and_its_goal(tmp_path):
    class Demo(Scripted):
        def pose(self, clip, frame):
            if frame == 12:
                raise UnreadableError("cut short")
            R, p = track(60, [0, 0, 0.002])
            vector = Rotation.from_matrix(R[0]).as_rotvec()
            return HandPose(np.zeros(45), False, vector, position_m=p[frame])

    class Task:
        name, nominal_rotation = "PickCup", NOMINAL

    out = tmp_path / "demo.json"
    clip = Clip("a", "v", 0, 55, "take", contact_frame=5)
    made = trajectory.demo_to_trajectory(
        Demo(), clip, Task(), np.eye(4), trajectory.TrajectoryConfig(str(out), smooth=0)
    )
    loaded = Demonstration.load(out)
    assert loaded.hash == made.hash
    assert loaded.source == "human video"
    assert (tmp_path / "demo.goal.png").is_file()
    assert np.allclose(loaded.displacements[:, :3], [0, 0, 0.002], atol=1e-9)
    with pytest.raises(ValueError, match="position_m"):
        trajectory.demo_to_trajectory(Scripted(), clip, Task(), np.eye(4), trajectory.TrajectoryConfig(str(out)))
