"""One clip to one label: contact frame, contact points, mixture, crop of the first frame, pose, instruction (paper,
3.1).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deft_env import paper
from deft_env.prior import mano, pinch, retarget
from deft_env.video import crops
from deft_env.video.records import (
    CONTACT_STATES,
    RIGHT,
    Array,
    Clip,
    Dataset,
    HandBox,
    HandPose,
    ObjectBox,
    UnreadableError,
    instruction,
)
from deft_env.video.shards import IMAGE_PX

TIPS: Final = {"thumb": (3, 4), "index": (7, 8), "middle": (11, 12), "ring": (15, 16), "little": (19, 20)}
"""Last joint and tip of each finger in the order of 21 joints that detectors write."""
POINTS_PER_TIP: Final = 4
GROW: Final = 0.15
"""A fingertip counts as touching up to this share of the box's size outside the object's box (our choice)."""

STILL: Final = 0.12
"""A box that leaves another by at most this share of its size lies inside it (our choice: the detectors' jitter)."""


class SkippedError(Exception):
    """The clip gives no label; the message is the reason, one of a few words, counted in the manifest."""


@dataclass(frozen=True, slots=True)
class LabelConfig:
    """How clips become labels; the thresholds are our choice where the paper is silent.

    Attributes:
        min_frames: shortest clip.
        hand_score, object_score: least scores of detections that count.
        steady_frames: how many frames in a row the hand must be in contact.
        margin: side of the crop over the object's longer side.
        mano: the user's MANO_RIGHT.pkl; needed for relative poses (FrankMocap), exact axes.
        seed: of the mixture's initialisation.
    """

    min_frames: int = 10
    hand_score: float = 0.5
    object_score: float = 0.3
    steady_frames: int = 2
    margin: float = crops.MARGIN
    mano: str = ""
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Label:
    """One label; see ``video.shards`` for shapes, units and frames. ``contact_frame`` is for contact sheets."""

    image: NDArray[np.uint8]
    contacts: NDArray[np.float32]
    wrist: NDArray[np.float32]
    pose: NDArray[np.float32]
    box: NDArray[np.float32]
    instruction: str
    clip: str
    contact_frame: int


def find_contact(dataset: Dataset, clip: Clip, config: LabelConfig) -> tuple[int, HandBox]:
    """The first frame in which the right hand touches an object, and that hand.

    Raises:
        SkippedError: if no right hand touches anything for long enough.
    """
    if clip.contact_frame is not None:
        best = _touching(dataset, clip, clip.contact_frame, config)
        if best is None:
            raise SkippedError("no contact")
        return clip.contact_frame, best
    run, first = 0, None
    for frame in range(clip.start, clip.stop + 1):
        hand = _touching(dataset, clip, frame, config)
        if hand is None:
            run, first = 0, None
            continue
        run += 1
        first = first or (frame, hand)
        if run >= config.steady_frames:
            return first
    raise SkippedError("no contact")


def _touching(dataset: Dataset, clip: Clip, frame: int, config: LabelConfig) -> HandBox | None:
    hands = [h for h in dataset.hands(clip, frame) if h.score >= config.hand_score and h.state in CONTACT_STATES]
    right = [h for h in hands if h.side == RIGHT]
    if hands and not right:
        raise SkippedError("left hand")
    return max(right, key=lambda h: h.score, default=None)


def overlap(a: Array, b: Array) -> float:
    """Intersection over union of two boxes."""
    size = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0.0)
    inter = float(size.prod())
    union = float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()) - inter
    return inter / union if union > 0 else 0.0


def touched_box(hand: HandBox, objects: list[ObjectBox], score: float) -> Array:
    """The box of the object that a hand touches: nearest to where the detector says its centre is.

    Raises:
        SkippedError: if there is none.
    """
    known = [o.box for o in objects if o.score >= score]
    if not known:
        raise SkippedError("no touched object")
    return min(known, key=lambda b: float(np.linalg.norm(0.5 * (b[:2] + b[2:]) - hand.object_centre)))


def first_box(touched: Array, objects: list[ObjectBox], score: float) -> Array:
    """The same object in the first frame: the box that overlaps most, or else the nearest one of a similar size.

    Raises:
        SkippedError: if nothing fits.
    """
    known = [o.box for o in objects if o.score >= score]
    if known:
        best = max(known, key=lambda b: overlap(b, touched))
        if overlap(best, touched) > 0.1:
            return best
        centre, size = 0.5 * (touched[:2] + touched[2:]), float(np.sqrt(np.prod(touched[2:] - touched[:2])))
        near = min(known, key=lambda b: float(np.linalg.norm(0.5 * (b[:2] + b[2:]) - centre)))
        ratio = float(np.sqrt(np.prod(near[2:] - near[:2]))) / max(size, 1e-6)
        if np.linalg.norm(0.5 * (near[:2] + near[2:]) - centre) < 1.5 * size and 0.4 < ratio < 2.5:
            return near
    raise SkippedError("object not in the first frame")


def contact_points(pose: HandPose, hand: HandBox, touched: Array, fingers: Collection[str] = tuple(TIPS)) -> Array:
    """Contact points (n, 2), px of the contact frame.

    Points along the last phalanx of each of ``fingers``, those within the object's box (grown a little); where the pose
    has no joints in the picture, or too few of them touch, a grid over the part of the hand's box that lies on the
    object's.

    Raises:
        SkippedError: if hand and object do not meet at all.
    """
    grow = GROW * (touched[2:] - touched[:2])
    low, high = touched[:2] - grow, touched[2:] + grow
    if pose.joints_px is not None:
        steps = np.linspace(0.25, 1.0, POINTS_PER_TIP)[:, None]
        ends = [(pose.joints_px[last], pose.joints_px[tip]) for last, tip in (TIPS[f] for f in fingers)]
        points = np.concatenate([(1 - steps) * last + steps * tip for last, tip in ends])
        points = points[((points >= low) & (points <= high)).all(axis=1)]
        if len(points) >= 2 * POINTS_PER_TIP:
            return points
    low, high = np.maximum(touched[:2], hand.box[:2]), np.minimum(touched[2:], hand.box[2:])
    if (high <= low).any():
        raise SkippedError("hand and object do not meet")
    grid = (np.arange(5) + 0.5) / 5
    return low + np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2) * (high - low)


def mixture_centres(points: Array, k: int = paper.CONTACT_POINTS, seed: int = 0) -> Array:
    """Centres (k, 2) of a Gaussian mixture fitted to points (n, 2), in the order of x, then y.

    Few distinct points are repeated with a tiny, fixed spread, so that k components can always be fitted.

    Raises:
        ValueError: if there are no points.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ValueError(f"points: expected (n, 2) with n >= 1, got {points.shape}")
    scale = max(float(np.ptp(points, axis=0).max()), 1e-3)
    if len(points) < 4 * k:
        repeats = -(-4 * k // len(points))
        angles = 2 * np.pi * (np.arange(repeats) + 0.5) / repeats
        ring = 0.02 * scale * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        points = (points[:, None] + ring[None]).reshape(-1, 2)
    mixture = GaussianMixture(k, covariance_type="spherical", reg_covar=1e-4 * scale**2 + 1e-12, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        centres: Array = mixture.fit(points).means_
    return centres[np.lexsort((centres[:, 1], centres[:, 0]))]


def to_first(points: Array, touched: Array, box: Array) -> Array:
    """Contact points (n, 2) of the contact frame -> the first frame, by the object's boxes in both.

    Where the box at contact lies inside the first one, the object and the camera have stood still and the hand hides
    part of it: the points stay. Else the map between the boxes carries them, exact for a shift and a zoom (our choice;
    no features are tracked).
    """
    size = box[2:] - box[:2]
    slack = STILL * size
    if (touched[:2] >= box[:2] - slack).all() and (touched[2:] <= box[2:] + slack).all():
        return points
    mapped: Array = box[:2] + (points - touched[:2]) / np.maximum(touched[2:] - touched[:2], 1e-6) * size
    return mapped


def label_clip(dataset: Dataset, clip: Clip, config: LabelConfig, model: mano.HandModel = mano.INVENTED) -> Label:
    """Makes the label of a clip.

    Contact points are carried from the contact frame to the first frame by ``to_first``.

    Raises:
        SkippedError: with the reason, if the clip gives no label.
    """
    if clip.stop - clip.start + 1 < config.min_frames:
        raise SkippedError("too short")
    words = instruction(clip.narration)
    if not words:
        raise SkippedError("no language")
    try:
        frame, hand = find_contact(dataset, clip, config)
        touched = touched_box(hand, dataset.touched(clip, frame), config.object_score)
        box = first_box(touched, dataset.objects(clip, clip.start), config.object_score)
        pose = dataset.pose(clip, frame)
        if pose is None:
            raise SkippedError("no hand pose")
        absolute = retarget.absolute_pose(pose.pose, relative=pose.relative, model=model)
        # In a pinch the ring and the little finger only go along, beside the thing or above it.
        pinching = pinch.opening_m(absolute, model) < pinch.WIDEST_M
        points = contact_points(pose, hand, touched, pinch.OPPOSED if pinching else tuple(TIPS))
        image = dataset.image(clip, clip.start)
        square = crops.square_box(box, image.shape, config.margin)
    except UnreadableError:
        raise SkippedError("unreadable file") from None
    except crops.EmptyCropError:
        raise SkippedError("empty crop") from None
    in_first = to_first(points, touched, box)
    centres = mixture_centres((in_first - square[:2]) / (square[2:] - square[:2]), seed=config.seed)
    if ((centres < 0) | (centres > 1)).any():
        raise SkippedError("contact outside the crop")
    return Label(
        crops.cut(image, square, IMAGE_PX),
        centres.astype(np.float32),
        pose.wrist.astype(np.float32),
        absolute.reshape(-1).astype(np.float32),
        square.astype(np.float32),
        words,
        f"{dataset.name}/{clip.name}",
        frame,
    )
