"""Readers of detector outputs: 100DOH, Detic, FrankMocap, HaMeR and WiLoR.

100DOH, Detic, HaMeR and WiLoR define no result file. For them we read an ``.npz`` of the arrays that their models
return, under the models' own names (100DOH also as a pickled dictionary). Everything is checked for shape and for
finite values.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.spatial.transform import Rotation

from deft_env.video import unpickle
from deft_env.video.records import LEFT, RIGHT, STATES, Array, HandBox, HandPose, ObjectBox, UnreadableError

OFFSET_SCALE_PX: Final = 10000.0
"""100DOH's offsets: the object's centre is the hand's plus 10000 * magnitude * unit vector, px."""


def read_arrays(path: Path) -> dict[str, Any]:
    """The arrays of an ``.npz`` (without pickle) or of a pickled dictionary.

    Raises:
        UnreadableError: if the file is missing, broken, or tries to run code.
    """
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as data:
                return {name: data[name] for name in data.files}
        content = unpickle.load(path)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UnreadableError(f"{path}: {error}") from None
    if not isinstance(content, dict):
        raise UnreadableError(f"{path}: expected a dictionary of arrays, got {type(content).__name__}")
    return content


def _rows(value: Any, columns: int, name: str, path: Path) -> Array:
    """Rows of an array that may be None (nothing was detected)."""
    array = np.asarray(value if value is not None and np.size(value) else np.zeros((0, columns)))
    if array.dtype.kind not in "fiu" or array.ndim != 2 or array.shape[1] != columns:
        raise UnreadableError(f"{path}: {name}: expected (N, {columns}) numbers, got {array.dtype} {array.shape}")
    if not np.isfinite(array).all():
        raise UnreadableError(f"{path}: {name}: not every number is finite")
    return array.astype(np.float64)


def read_100doh(path: Path) -> tuple[list[HandBox], list[ObjectBox]]:
    """Hands and objects of one frame, from ``hand_dets`` and ``obj_dets`` (N, 10).

    Columns: x0, y0, x1, y1, score, state, magnitude, unit dx, unit dy, side (0 left, 1 right). State, offset and side
    of object rows are untrained and not read.
    """
    data = read_arrays(path)
    if not {"hand_dets", "obj_dets"} <= set(data):
        raise UnreadableError(f"{path}: expected hand_dets and obj_dets, got {sorted(data)}")
    hands = []
    for row in _rows(data["hand_dets"], 10, "hand_dets", path):
        state, side = int(row[5]), int(row[9])
        if not (0 <= state < len(STATES) and side in (0, 1)):
            raise UnreadableError(f"{path}: hand_dets: unknown state {row[5]} or side {row[9]}")
        centre = 0.5 * (row[:2] + row[2:4]) + OFFSET_SCALE_PX * row[6] * row[7:9]
        hands.append(HandBox(row[:4], float(row[4]), STATES[state], RIGHT if side else LEFT, centre))
    objects = [ObjectBox(r[:4], float(r[4])) for r in _rows(data["obj_dets"], 10, "obj_dets", path)]
    return hands, objects


def read_detic(path: Path) -> list[ObjectBox]:
    """Objects of one frame: ``pred_boxes`` (N, 4) xyxy px, ``scores`` (N,), ``pred_classes`` (N,),
    ``thing_classes``.
    """
    data = read_arrays(path)
    if not {"pred_boxes", "scores"} <= set(data):
        raise UnreadableError(f"{path}: expected pred_boxes and scores, got {sorted(data)}")
    boxes = _rows(data["pred_boxes"], 4, "pred_boxes", path)
    scores = _rows(np.reshape(data["scores"], (-1, 1)), 1, "scores", path)[:, 0]
    if len(scores) != len(boxes):
        raise UnreadableError(f"{path}: {len(boxes)} boxes but {len(scores)} scores")
    names = [str(n) for n in np.ravel(data.get("thing_classes", np.zeros(0, "U1")))]
    classes = np.ravel(data.get("pred_classes", np.full(len(boxes), -1)))
    if len(classes) != len(boxes) or classes.dtype.kind not in "iu":
        raise UnreadableError(f"{path}: pred_classes: expected {len(boxes)} integers")
    labels = [names[c] if 0 <= c < len(names) else "" for c in classes]
    return [ObjectBox(b, float(s), n) for b, s, n in zip(boxes, scores, labels, strict=True)]


def vector(entry: Mapping[str, Any], key: str, size: int, path: Path) -> Array:
    """The entry ``key`` as ``size`` finite numbers, whatever its shape."""
    array = np.asarray(entry.get(key))
    if array.dtype.kind not in "fiu" or array.size != size or not np.isfinite(array).all():
        raise UnreadableError(f"{path}: {key}: expected {size} finite numbers, got {array.dtype} {array.shape}")
    return array.astype(np.float64).ravel()


def read_frankmocap(path: Path) -> HandPose | None:
    """The right hand of ``<image>_prediction_result.pkl``; None where there is none. Its pose is RELATIVE to the mean.

    Raises:
        UnreadableError: if the file is broken, of another kind, or its right hand has wrong shapes.
    """
    data = read_arrays(path)
    people = data.get("pred_output_list")
    if data.get("demo_type") != "hand" or not isinstance(people, Sequence):
        raise UnreadableError(f"{path}: no FrankMocap hand result (demo_type and pred_output_list)")
    for person in people:
        entry = person.get("right_hand") if isinstance(person, Mapping) else None
        if not entry:  # a missing hand is written as an empty dictionary, or as None
            continue
        pose = vector(entry, "pred_hand_pose", 48, path)
        joints = entry.get("pred_joints_img")
        points = None if joints is None else vector(entry, "pred_joints_img", 63, path).reshape(21, 3)[:, :2]
        return HandPose(pose[3:], True, pose[:3], points)
    return None


def read_hamer(path: Path) -> HandPose | None:
    """The right hand of a HaMeR or WiLoR result saved as ``.npz``; None where there is none. Its pose is ABSOLUTE.

    Arrays, first axis over hands: ``global_orient`` (B, 1, 3, 3), ``hand_pose`` (B, 15, 3, 3) rotation matrices,
    ``right`` (B,); optional ``keypoints_px`` (B, 21, 2) in the picture, and ``position_m`` (B, 3) of the wrist,
    camera frame.
    """
    data = read_arrays(path)
    if not {"global_orient", "hand_pose", "right"} <= set(data):
        raise UnreadableError(f"{path}: expected global_orient, hand_pose and right, got {sorted(data)}")
    for i, right in enumerate(np.ravel(data["right"])):
        if not right:
            continue
        try:
            matrices = np.concatenate([np.reshape(data["global_orient"][i], (1, 3, 3)), data["hand_pose"][i]])
            if matrices.shape != (16, 3, 3) or not np.isfinite(matrices).all():
                raise ValueError(f"expected 16 finite rotation matrices, got {matrices.shape}")
            if np.abs(matrices @ np.swapaxes(matrices, -1, -2) - np.eye(3)).max() > 1e-2:
                raise ValueError("matrices that are no rotations")
            vectors = Rotation.from_matrix(matrices).as_rotvec()
            points = data["keypoints_px"][i] if "keypoints_px" in data else None
            position = data["position_m"][i] if "position_m" in data else None
        except (ValueError, IndexError) as error:
            raise UnreadableError(f"{path}: {error}") from None
        return HandPose(vectors[1:].ravel(), False, vectors[0], points, position)
    return None


POSE_READERS: Final = {"frankmocap": read_frankmocap, "hamer": read_hamer, "wilor": read_hamer}
POSE_SUFFIX: Final = {"frankmocap": "_prediction_result.pkl", "hamer": ".npz", "wilor": ".npz"}
