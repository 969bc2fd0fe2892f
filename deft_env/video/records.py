"""What every dataset and detector is turned into: clips, boxes, hand poses; and the contract of a dataset."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RIGHT, LEFT = "right", "left"
CONTACT_STATES: Final = ("portable", "stationary")
STATES: Final = ("none", "self", "other person", *CONTACT_STATES)
"""100DOH's contact states, in its own order."""
MAX_IMAGE_PX: Final = 8192


class UnreadableError(ValueError):
    """A file of a dataset or detector is missing, broken or not what it should be; the clip is skipped and counted."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One action in a video.

    Attributes:
        name: unique in its dataset.
        video: which video, in the dataset's own terms.
        start, stop: first and last frame, as the dataset counts.
        narration: in the annotators' words; may be empty.
        contact_frame: where the dataset says the hand first touches the object; None where it does not.
    """

    name: str
    video: str
    start: int
    stop: int
    narration: str
    contact_frame: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class HandBox:
    """A detected hand.

    Attributes:
        box: (4,) x0, y0, x1, y1, px.
        score: in [0, 1].
        state: one of ``STATES``.
        side: ``right`` or ``left``.
        object_centre: (2,) where the touched object's centre is said to be, px.
    """

    box: Array
    score: float
    state: str
    side: str
    object_centre: Array


@dataclass(frozen=True, slots=True, eq=False)
class ObjectBox:
    """A detected object: box (4,) in px, score, and its class where the detector names one."""

    box: Array
    score: float
    label: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class HandPose:
    """A MANO right hand in one frame.

    Attributes:
        pose: (45,) axis-angles, rad.
        relative: whether ``pose`` is an offset from MANO's mean pose (FrankMocap) or absolute.
        wrist: (3,) axis-angle, MANO wrist -> camera, rad.
        joints_px: (21, 2) in the picture, wrist, thumb, index, middle, ring, little; None where unknown.
        position_m: (3,) of the wrist in the camera frame; None where unknown.
    """

    pose: Array
    relative: bool
    wrist: Array
    joints_px: Array | None = None
    position_m: Array | None = None

    def __post_init__(self) -> None:
        for name, shape in (("pose", (45,)), ("wrist", (3,)), ("joints_px", (21, 2)), ("position_m", (3,))):
            value = getattr(self, name)
            if value is None:
                continue
            array = np.asarray(value, dtype=np.float64)
            if array.shape != shape or not np.isfinite(array).all():
                raise UnreadableError(f"{name}: expected finite {shape}, got {array.shape}")
            object.__setattr__(self, name, array)


class Dataset(ABC):
    """A dataset with the detectors' outputs beside it; made in every worker anew, so it holds paths only.

    Attributes:
        name: goes before the clips' names.
        skipped: annotations that give no clip, counted by reason, once ``clips`` was called.
    """

    name: str = ""

    def __init__(self, root: str | Path) -> None:
        """``root`` is the dataset's folder; see each dataset for its layout.

        Raises:
            FileNotFoundError: if there is no such folder.
        """
        self.root = Path(root)
        if not self.root.is_dir():
            raise FileNotFoundError(f"root: there is no folder {self.root}")
        self.skipped: Counter[str] = Counter()

    @abstractmethod
    def clips(self) -> list[Clip]:
        """Every usable annotation, in the files' order; the others are counted in ``skipped``."""

    @abstractmethod
    def image(self, clip: Clip, frame: int) -> NDArray[np.uint8]:
        """The picture (H, W, 3) of a frame; raises ``UnreadableError``."""

    @abstractmethod
    def hands(self, clip: Clip, frame: int) -> list[HandBox]:
        """Detected hands; raises ``UnreadableError`` where the detector's file is missing or broken."""

    @abstractmethod
    def touched(self, clip: Clip, frame: int) -> list[ObjectBox]:
        """Objects that the hand-object detector saw; raises ``UnreadableError``."""

    @abstractmethod
    def objects(self, clip: Clip, frame: int) -> list[ObjectBox]:
        """Objects that the object detector saw; raises ``UnreadableError``."""

    @abstractmethod
    def pose(self, clip: Clip, frame: int) -> HandPose | None:
        """The right hand's pose, None where the detector saw none; raises ``UnreadableError``."""


def inside(root: Path, *parts: str) -> Path:
    """``root / parts`` for names that come out of files: a path that leaves ``root`` is refused.

    Raises:
        UnreadableError: if it would.
    """
    path = root.joinpath(*parts)
    if not path.resolve().is_relative_to(root.resolve()):
        raise UnreadableError(f"{'/'.join(parts)}: the name leads out of {root}")
    return path


def read_image(path: Path) -> NDArray[np.uint8]:
    """A picture file as (H, W, 3).

    Raises:
        UnreadableError: if it is missing, broken or larger than 8192 px.
    """
    from PIL import Image

    try:
        with Image.open(path) as picture:
            if max(picture.size) > MAX_IMAGE_PX:
                raise UnreadableError(f"{path}: {picture.size} px is more than {MAX_IMAGE_PX}")
            return np.asarray(picture.convert("RGB"), dtype=np.uint8)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableError(f"{path}: no readable picture ({error})") from None


def read_video_frame(path: Path, frame: int) -> NDArray[np.uint8]:
    """One frame (counted from 0) of a video file; needs OpenCV.

    Raises:
        ImportError: if OpenCV is absent; the message names the extra.
        UnreadableError: if the file is missing or broken, or ends before the frame.
    """
    try:
        import cv2
    except ImportError as error:
        raise ImportError(
            f"reading {path.name} needs OpenCV: pip install 'deft-hand[vision]', or extract its frames ({error})"
        ) from error
    if not path.is_file():
        raise UnreadableError(f"{path}: no such video")
    video = cv2.VideoCapture(str(path))
    try:
        video.set(cv2.CAP_PROP_POS_FRAMES, frame)
        good, image = video.read()
    finally:
        video.release()
    if not good or image is None:
        raise UnreadableError(f"{path}: frame {frame} cannot be read; the file is broken or shorter")
    return np.ascontiguousarray(image[:, :, ::-1])


_TAG = re.compile(r"#\s*[A-Za-z]+\b")


def instruction(narration: str) -> str:
    """An annotator's narration as an instruction: tags and the subject go, lower case; empty where nothing is left.

    ``"#C C picks up a cup."`` -> ``"picks up a cup"``; ``"take plate"`` stays.
    """
    text = _TAG.sub(" ", narration)
    text = re.sub(r"^\s*[CXYO]\s+", "", text)
    text = re.sub(r"\s+", " ", text.replace("_", " ").replace("[", " ").replace("]", " ")).strip(" .,;:-").lower()
    return "" if text in ("unsure", "none", "nan") else text
