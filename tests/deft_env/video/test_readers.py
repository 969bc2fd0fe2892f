"""Readers of datasets and detectors, on small files in the published formats, good and broken."""

import contextlib
import csv
import json
import pickle
from collections import OrderedDict

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from deft_env.prior import mano
from deft_env.video import detectors, epic_protobuf
from deft_env.video.ego4d import Ego4D, hand_points
from deft_env.video.epic import EpicKitchens
from deft_env.video.hoi4d import HOI4D, events
from deft_env.video.records import Clip, HandBox, ObjectBox, UnreadableError, inside, instruction, read_image

HEADER = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,stop_frame,"
    "narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes"
)


def test_100doh_rows_have_their_published_meaning(tmp_path):
    hand = [10, 20, 50, 80, 0.9, 3, 0.02, 0.6, 0.8, 1]
    path = tmp_path / "a.npz"
    np.savez(path, hand_dets=np.array([hand]), obj_dets=np.array([[1, 2, 3, 4, 0.8, 9, 9, 9, 9, 9]]))
    (h,), (o,) = detectors.read_100doh(path)
    assert (h.state, h.side, h.score) == ("portable", "right", 0.9)
    assert np.allclose(h.object_centre, [30 + 10000 * 0.02 * 0.6, 50 + 10000 * 0.02 * 0.8])
    assert np.allclose(o.box, [1, 2, 3, 4])
    (tmp_path / "b.pkl").write_bytes(pickle.dumps({"hand_dets": None, "obj_dets": None}))
    assert detectors.read_100doh(tmp_path / "b.pkl") == ([], [])
    for bad in ([hand[:9]], [[*hand[:5], 7, *hand[6:]]], [[np.nan, *hand[1:]]]):
        np.savez(path, hand_dets=np.array(bad), obj_dets=np.zeros((0, 10)))
        with pytest.raises(UnreadableError):
            detectors.read_100doh(path)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UnreadableError):
        detectors.read_100doh(path)


def test_detic(tmp_path):
    path = tmp_path / "d.npz"
    np.savez(path, pred_boxes=np.array([[0, 0, 5, 5.0]]), scores=np.array([0.7]), pred_classes=np.array([1]),
             thing_classes=np.array(["pan", "cup"]))  # fmt: skip
    assert detectors.read_detic(path)[0].label == "cup"
    np.savez(path, pred_boxes=np.array([[0, 0, 5, 5.0]]), scores=np.array([0.7, 0.2]))
    with pytest.raises(UnreadableError, match="1 boxes but 2 scores"):
        detectors.read_detic(path)


def frankmocap(path, right, **extra):
    result = OrderedDict(demo_type="hand", smpl_type="smplx", image_path="a.jpg", hand_bbox_list=[], save_mesh=False)
    result["pred_output_list"] = [{"left_hand": {}, "right_hand": right}]
    result.update(extra)
    path.write_bytes(pickle.dumps(result))
    return path


def test_frankmocap_is_relative_and_a_missing_hand_is_an_empty_dictionary(tmp_path):
    pose = np.arange(48, dtype=np.float32)[None] / 100
    path = tmp_path / "x_prediction_result.pkl"
    hand = {"pred_hand_pose": pose, "pred_joints_img": np.ones((21, 3), np.float32), "pred_camera": np.ones(3)}
    got = detectors.read_frankmocap(frankmocap(path, hand))
    assert got.relative
    assert np.allclose(got.wrist, pose[0, :3])
    assert np.allclose(got.pose, pose[0, 3:])
    assert got.joints_px.shape == (21, 2)
    for nothing in ({}, None):
        assert detectors.read_frankmocap(frankmocap(path, nothing)) is None
    with pytest.raises(UnreadableError, match="pred_hand_pose"):
        detectors.read_frankmocap(frankmocap(path, {"pred_hand_pose": np.zeros((1, 45))}))
    with pytest.raises(UnreadableError, match="no FrankMocap hand"):
        detectors.read_frankmocap(frankmocap(path, hand, demo_type="body"))


def test_a_result_that_runs_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (__import__("os").mkdir, (str(tmp_path / "ran"),))

    with pytest.raises(UnreadableError, match="refused"):
        detectors.read_frankmocap(frankmocap(tmp_path / "x.pkl", Evil()))
    assert not (tmp_path / "ran").exists()


def test_hamer_is_absolute_and_takes_the_right_hand(tmp_path):
    vectors = np.random.default_rng(0).normal(0, 0.3, (2, 16, 3))
    matrices = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(2, 16, 3, 3)
    path = tmp_path / "h.npz"
    np.savez(path, global_orient=matrices[:, :1], hand_pose=matrices[:, 1:], right=np.array([0, 1]))
    got = detectors.read_hamer(path)
    assert not got.relative
    assert np.allclose(got.wrist, vectors[1, 0])
    assert np.allclose(got.pose, vectors[1, 1:].ravel())
    np.savez(path, global_orient=matrices[:, :1], hand_pose=matrices[:, 1:], right=np.array([0, 0]))
    assert detectors.read_hamer(path) is None
    np.savez(path, global_orient=matrices[:, :1] * 2, hand_pose=matrices[:, 1:], right=np.array([0, 1]))
    with pytest.raises(UnreadableError, match="no rotations"):
        detectors.read_hamer(path)


HANDS = [
    HandBox(np.array([10.0, 20, 110, 140]), 0.75, "portable", "right", np.array([120.0, 60.0])),
    HandBox(np.array([0.0, 0, 30, 30]), 0.5, "none", "left", np.array([15.0, 15.0])),
]
OBJECTS = [ObjectBox(np.array([100.0, 40, 150, 90]), 0.5)]


def test_epic_messages_round_trip_and_truncations_are_clear():
    data = epic_protobuf.encode("P01_11", 300, HANDS, OBJECTS, 456, 256)
    video, frame, hands, objects = epic_protobuf.decode(data, 456, 256)
    assert (video, frame) == ("P01_11", 300)
    for got, want in zip(hands, HANDS, strict=True):
        assert (got.state, got.side) == (want.state, want.side)
        assert np.allclose(got.box, want.box, atol=1e-3)
        assert np.allclose(got.object_centre, want.object_centre, atol=1e-3)
    assert np.allclose(objects[0].box, OBJECTS[0].box, atol=1e-3)
    assert epic_protobuf.decode(b"", 1, 1) == ("", 0, [], [])
    for n in range(len(data)):
        with contextlib.suppress(UnreadableError):  # any other exception fails the test
            epic_protobuf.decode(data[:n], 456, 256)


def test_epic_messages_agree_with_protobuf():
    """Against google.protobuf itself, its message types built from the published field numbers."""
    pytest.importorskip("google.protobuf")
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kind = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="d.proto", syntax="proto3")

    def message(name, *rows):
        made = file.message_type.add(name=name)
        for field, number, type_, repeated, type_name in rows:
            made.field.add(name=field, number=number, type=type_, type_name=type_name or None,
                           label=kind.LABEL_REPEATED if repeated else kind.LABEL_OPTIONAL)  # fmt: skip

    f32, i32, sub = kind.TYPE_FLOAT, kind.TYPE_INT32, kind.TYPE_MESSAGE
    message("BBox", *[(n, i + 1, f32, False, "") for i, n in enumerate(("left", "top", "right", "bottom"))])
    message("Offset", ("x", 1, f32, False, ""), ("y", 2, f32, False, ""))
    message("Hand", ("bbox", 1, sub, False, "BBox"), ("score", 2, f32, False, ""), ("state", 3, i32, False, ""),
            ("offset", 4, sub, False, "Offset"), ("side", 5, i32, False, ""))  # fmt: skip
    message("Thing", ("bbox", 1, sub, False, "BBox"), ("score", 2, f32, False, ""))
    message("Detections", ("video_id", 1, kind.TYPE_STRING, False, ""), ("frame_number", 2, i32, False, ""),
            ("hands", 3, sub, True, "Hand"), ("objects", 4, sub, True, "Thing"))  # fmt: skip
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    theirs = message_factory.GetMessageClass(pool.FindMessageTypeByName("Detections"))()
    theirs.ParseFromString(epic_protobuf.encode("P01_11", 300, HANDS, OBJECTS, 456, 256))
    assert theirs.hands[0].state == 3
    assert theirs.hands[0].bbox.right == pytest.approx(110 / 456)
    assert epic_protobuf.decode(theirs.SerializeToString(), 456, 256)[1] == 300


def epic_root(tmp_path, rows):
    (tmp_path / "EPIC_100_train.csv").write_text(HEADER + "\n" + "\n".join(rows) + "\n")
    (tmp_path / "hand-objects").mkdir(exist_ok=True)
    messages = [epic_protobuf.encode("P01_11", f, HANDS, OBJECTS, 456, 256) for f in (5, 6)]
    (tmp_path / "hand-objects" / "P01_11.pkl").write_bytes(pickle.dumps(messages))
    return tmp_path


def test_epic_csv_and_detections(tmp_path):
    row = "P01_11_0,P01,P01_11,00:00:00.560,00:00:00.00,00:00:01.89,1,113,take plate,take,0,plate,2,['plate'],[2]"
    dataset = EpicKitchens(epic_root(tmp_path, [row, row.replace(",1,113,", ",x,113,")]))
    clips = dataset.clips()
    assert clips == [Clip("P01_11_0", "P01_11", 1, 113, "take plate")]
    assert dataset.skipped == {"broken annotation": 1}
    assert dataset.hands(clips[0], 5)[0].side == "right"
    assert dataset.hands(clips[0], 99) == []
    assert dataset.touched(clips[0], 6)[0].score == pytest.approx(0.5)
    (tmp_path / "hand-objects" / "P01_12.pkl").write_bytes(pickle.dumps([np.zeros(3)]))
    with pytest.raises(UnreadableError, match="refused"):
        dataset.hands(Clip("x", "P01_12", 1, 9, ""), 5)
    (tmp_path / "EPIC_100_train.csv").write_text("narration_id,participant_id\n")
    with pytest.raises(ValueError, match="missing"):
        dataset.clips()


def test_ego4d_main_annotations(tmp_path):
    def action(uid, **extra):
        return {"uid": uid, "start_frame": 10, "end_frame": 90, "narration_text": "#C C picks up a cup.",
                "is_valid_action": True, "critical_frames": {"pre_frame": 20, "contact_frame": 40, "pnr_frame": 50},
                **extra}  # fmt: skip

    actions = [
        action("a"),
        action("b", critical_frames={"pnr_frame": 50}),
        action("c", critical_frames=None),
        action("d", is_valid_action=False),
        action("e", is_rejected=True),
        action("f", critical_frames={"contact_frame": 4000}),
        {"uid": "g"},
    ]
    interval = {"clip_uid": "k", "narrated_actions": actions}
    data = {"videos": [{"video_uid": "V", "annotated_intervals": [interval, {"redacted": True}]}]}
    (tmp_path / "fho_main.json").write_text(json.dumps(data))
    dataset = Ego4D(tmp_path)
    clips = dataset.clips()
    assert [(c.name, c.contact_frame) for c in clips] == [("a", 40), ("b", 50), ("c", None)]
    assert instruction(clips[0].narration) == "picks up a cup"
    assert dataset.skipped == {
        "invalid action": 2, "contact outside the clip": 1, "broken annotation": 1, "redacted": 1
    }  # fmt: skip
    assert hand_points({"boxes": [{"left_hand": [1, 2]}, {"right_hand": [3, 4]}]}) == {"left": (1, 2), "right": (3, 4)}
    assert hand_points({}) == {}
    (tmp_path / "fho_main.json").write_text("{")
    with pytest.raises(ValueError, match="JSON"):
        dataset.clips()


SEQUENCE = "ZY20210800001/H1/C2/N01/S50/s01/T1"


def hoi4d_root(tmp_path, color):
    action = tmp_path / "HOI4D_annotations" / SEQUENCE / "action"
    action.mkdir(parents=True)
    (action / "color.json").write_text(json.dumps(color))
    rgb = tmp_path / "HOI4D_release" / SEQUENCE / "align_rgb"
    rgb.mkdir(parents=True)
    Image.fromarray(np.full((20, 30, 3), 7, np.uint8)).save(rgb / "00003.jpg")
    return tmp_path


def test_hoi4d_actions_in_both_variants_and_on_a_short_clock(tmp_path):
    one = {"info": {"duration": 20}, "events": [{"event": "Pickup", "startTime": 4, "endTime": 8}]}
    two = {"info": {"Duration": 10}, "markResult": {"marks": [{"event": "Pickup", "hdTimeStart": 2, "hdTimeEnd": 4}]}}
    for color in (one, two):
        (tmp_path / "c.json").write_text(json.dumps(color))
        assert events(tmp_path / "c.json") == [("pickup", 60, 120)]
    for broken in ({}, {"info": {"duration": 0}, "events": []}, []):
        (tmp_path / "c.json").write_text(json.dumps(broken))
        with pytest.raises(UnreadableError):
            events(tmp_path / "c.json")


def test_hoi4d_sequences_and_hand_poses(tmp_path):
    color = {"info": {"duration": 20}, "events": [{"event": "Reachout", "startTime": 0, "endTime": 4},
                                                  {"event": "Pickup", "startTime": 4, "endTime": 8}]}  # fmt: skip
    dataset = HOI4D(hoi4d_root(tmp_path, color))
    (clip,) = dataset.clips()
    assert (clip.contact_frame, clip.stop, clip.narration) == (60, 120, "pick up the mug")
    assert dataset.image(clip, 3).shape == (20, 30, 3)
    hands = tmp_path / "handpose" / "refinehandpose_right" / SEQUENCE
    hands.mkdir(parents=True)
    good = {"poseCoeff": np.arange(48.0), "beta": np.zeros(10), "trans": np.ones(3), "kps2D": np.ones((21, 2))}
    (hands / "60.pickle").write_bytes(pickle.dumps(good, protocol=2))
    pose = dataset.pose(clip, 60)
    assert not pose.relative
    assert np.allclose(pose.pose, np.arange(3, 48))
    assert np.allclose(pose.position_m, 1)
    assert dataset.pose(clip, 61) is None
    (hands / "62.pickle").write_bytes(pickle.dumps({**good, "poseCoeff": np.zeros(1)}))
    with pytest.raises(UnreadableError, match="poseCoeff"):
        dataset.pose(clip, 62)
    table = tmp_path / "definitions" / "task"
    table.mkdir(parents=True)
    with (table / "task_definitions.csv").open("w", newline="") as file:
        csv.writer(file).writerow(["C2", "T1", "Pick and place a mug"])
    assert HOI4D(tmp_path).clips()[0].narration == "Pick and place a mug"


def test_names_from_files_cannot_leave_the_root(tmp_path):
    with pytest.raises(UnreadableError, match="leads out"):
        inside(tmp_path, "frames", "../../etc")


def test_broken_pictures_and_videos(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"\xff\xd8\xff no picture")
    with pytest.raises(UnreadableError, match="no readable picture"):
        read_image(tmp_path / "x.jpg")
    cv2 = pytest.importorskip("cv2")
    from deft_env.video.records import read_video_frame

    (tmp_path / "x.mp4").write_bytes(b"\x00" * 100)
    assert cv2
    with pytest.raises(UnreadableError):
        read_video_frame(tmp_path / "x.mp4", 0)


@pytest.mark.parametrize(
    ("said", "meant"),
    [("#C C picks up a cup.", "picks up a cup"), ("take plate", "take plate"), ("#Unsure", ""), ("  ", ""),
     ("C cuts carrot", "cuts carrot")],
)  # fmt: skip
def test_instructions(said, meant):
    assert instruction(said) == meant


def test_mano_order_is_not_the_anatomical_one():
    assert [mano.FIRST_JOINT[f] for f in ("index", "middle", "little", "ring", "thumb")] == [1, 4, 7, 10, 13]
