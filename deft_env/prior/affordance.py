"""The learned prior: segmentation -> crop -> f -> lifting -> retargeting -> xi (paper, 3.1)."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deft_env import grasp
from deft_env.encoders.checkpoints import Weights
from deft_env.episode import Frame
from deft_env.prior import lifting, pinch, retarget, surface
from deft_env.prior.prior import Prior, PriorFailureError
from deft_env.prior.segmentation import Finder, Segment
from deft_env.registries import TaskLike
from deft_env.rigs.rig import Frames
from deft_env.video import crops
from deft_env.video.shards import IMAGE_PX

Array = NDArray[np.float64]

SHIPPED: Final = "affordance-small-synthetic.safetensors"
"""The small network, trained on synthetic videos; its card lies beside it."""
HELD_MARGIN_M: Final = 0.005
"""Added to a pinch's opening where it is compared with what is visible (our choice)."""
LEAST_SLANT: Final = 0.01
"""A part that is seen still more nearly end-on counts as this much from it: ``DEEPEST_M`` bounds what follows."""
LEAST_REACH_M: Final = 0.005
"""Of a part that is pinched at least so much round the contact is looked at for its axis (our choice: some pixels)."""
DEEPEST_M: Final = 0.035
"""Most that a contact is moved from the surface into the object (our choice)."""


def weights_file(weights: Weights | None) -> Path:
    """The network's file: ``weights["affordance"]``, or the shipped one.

    Raises:
        FileNotFoundError: if there is none.
    """
    if weights and "affordance" in weights:
        path = Path(weights["affordance"]).expanduser()
    else:
        path = Path(str(resources.files("deft_env.prior") / SHIPPED))
    if not path.is_file():
        raise FileNotFoundError(
            f"weights: there is no file {path}; train one (deft train affordance) and give --weights affordance=PATH"
        )
    return path


def thickness_m(found: Segment, frame: Frame) -> float:
    """Half the narrower width (m) of an object's mask, by its second moments: as deep as it is wide (our choice)."""
    rows, columns = np.nonzero(found.mask)
    spread = np.cov(np.stack([columns, rows])) + np.eye(2) / 12.0
    narrow_px = 2.0 * np.sqrt(max(float(np.linalg.eigvalsh(spread)[0]), 0.0))
    return float(narrow_px * found.depth_m / frame.K[0, 0])


def _held_px(pinched: pinch.Pinch | None, px_per_m: float) -> float | None:
    return None if pinched is None else (pinched.width_m + HELD_MARGIN_M) * px_per_m


class AffordancePrior(Prior):
    """The affordance network on a rig's first frames, one scene at a time on one thread.

    Attributes:
        card: what the weights say of themselves.
        latency_s: seconds that each step took for the newest frame: segmentation, network, geometry.
    """

    name = "affordance"

    def __init__(
        self,
        weights: Weights | None = None,
        segmentation: str = "depth",
        inside: bool = True,
        pinches: bool = True,
        sized: bool = True,
    ) -> None:
        """Reads the weights.

        Args:
            weights: ``affordance`` and ``choice`` (else the shipped small networks), ``clip`` where they were trained
                with CLIP's text tower, ``sam`` where ``segmentation`` is ``"sam"``.
            segmentation: ``"depth"``: what stands out of the table, and of several things the one that the instruction
                means (``prior.choice``); ``"sam"``: Segment-Anything, prompted by that thing's box.
            inside: move the contact from the surface into the object by half its width, along the view to the axis of a
                slender part (``surface.slant``), since the robot's grasp site lies between its fingers, not on a
                surface (our choice).
            pinches: retarget pinches by their opening (``prior.pinch``); False copies angles always, as the paper does.
            sized: take a pinch's opening from what is visible at the contact (``pinch.held_m``); False takes the human
                hand's own.

        Raises:
            ValueError: for another segmentation, or weights that do not fit.
            FileNotFoundError: if a file is missing.
        """
        from deft_env.prior import checkpoint
        from deft_env.prior.text import make_text_encoder

        if segmentation not in ("depth", "sam"):
            raise ValueError(f"segmentation: expected 'depth' or 'sam', got {segmentation!r}")
        self._network, self.card = checkpoint.load_network(weights_file(weights))
        self._text = make_text_encoder(self.card.text_encoder, (weights or {}).get("clip"))
        self._inside, self._pinch, self._sized = inside, pinches, sized
        self._finder = Finder(weights)
        self._refine: Callable[[Frame, Segment], Segment] | None = None
        if segmentation == "sam":
            from deft_env.prior.segment_anything import SOURCE, SegmentAnything

            if not weights or "sam" not in weights:
                raise ValueError(f"weights: 'sam' needs a file: --weights sam=PATH. It is {SOURCE}.")
            sam = SegmentAnything(weights["sam"])
            self._refine = lambda frame, found: sam.segment(frame, box=found.box)
        self.latency_s: dict[str, float] = {}

    def predict_crop(self, crop: NDArray[np.uint8], instruction: str) -> tuple[Array, Array, Array, Array]:
        """F on one crop (224, 224, 3): contacts (k, 2), wrist (3,), pose (45,), heatmaps (k, h, w)."""
        import torch

        from deft_env.encoders.inference import normalise, single_thread

        small = crops.shrink(crop[None], self.card.config.image_px)
        with single_thread():
            out = self._network(normalise(torch.from_numpy(small)), torch.from_numpy(self._text([instruction])))
        contacts, wrist, pose, heat = (t[0].double().numpy() for t in out)
        return contacts, wrist, pose, heat

    def predict(self, frames: Frames, task: TaskLike) -> Array:
        """Grasps (N, 22).

        Raises:
            PriorFailureError: if a frame shows no object, an empty crop, or no depth at the contact.
        """
        xi = np.empty((len(frames), grasp.DIM))
        for i, (key, frame) in enumerate(zip(frames.keys, frames[:], strict=True)):  # drawn at once
            try:
                xi[i] = self._one(frame, task)
            except (PriorFailureError, crops.EmptyCropError, lifting.NoDepthError) as error:
                raise PriorFailureError(f"{key}: {error}", i) from None
        return xi

    def find(self, frame: Frame, instruction: str) -> Segment:
        """The thing in a frame that the instruction means, by depth and words; refined by Segment-Anything if asked.

        Raises:
            PriorFailureError: if nothing stands on the table.
        """
        found = self._finder(frame, instruction)
        return found if self._refine is None else self._refine(frame, found)

    def _one(self, frame: Frame, task: TaskLike) -> Array:
        begun = time.perf_counter()
        found = self.find(frame, task.instruction)
        square = crops.square_box(np.array(found.box, dtype=np.float64), frame.rgb.shape)
        crop = crops.cut(frame.rgb, square, IMAGE_PX)
        seen = time.perf_counter()
        contacts, wrist, pose, _ = self.predict_crop(crop, task.instruction)
        thought = time.perf_counter()
        pixel = np.clip(lifting.average_contact(contacts, square), 0.0, [frame.rgb.shape[1], frame.rgb.shape[0]])
        pinched = pinch.retarget_pinch(pose) if self._pinch else None
        focal_px = float(frame.K[0, 0])
        pixel = lifting.snap(frame.depth_m, pixel, found.mask, held_px=_held_px(pinched, focal_px / found.depth_m))
        if self._pinch and self._sized:
            seen_m = surface.seen_width_m(frame.depth_m, pixel, found.mask, focal_px, pinch.WIDEST_M)
            pinched = pinch.retarget_pinch(pose, seen_m=seen_m)
        lifted = lifting.lift(frame, pixel, found.mask, _held_px(pinched, focal_px / found.depth_m))
        point = lifted.point_base_m
        if self._inside:
            ray = point - frame.T_base_cam[:3, 3]
            if pinched is None:
                half_m = thickness_m(found, frame)
            else:  # to the axis of what is held, which lies far behind the surface of a part that is seen end-on
                reach_m = max(pinched.width_m, LEAST_REACH_M)
                slant = surface.slant(frame.depth_m, pixel, found.mask, frame.K, reach_m)
                half_m = 0.5 * pinched.width_m / max(slant, LEAST_SLANT)
            point = point + ray / np.linalg.norm(ray) * min(half_m, DEEPEST_M)
        out = np.empty(grasp.DIM)
        out[grasp.WRIST] = retarget.retarget_wrist(wrist, frame.T_base_cam, task.nominal_rotation).angles_rad
        if pinched is None:
            out[grasp.MU] = point
            out[grasp.FINGERS] = retarget.retarget_fingers(pose)
        else:
            turn = grasp.wrist_to_rotation(out[grasp.WRIST], task.nominal_rotation)
            out[grasp.MU] = point - turn @ pinched.middle_m
            out[grasp.FINGERS] = pinched.joints_rad
        out = grasp.executable(out)
        done = time.perf_counter()
        self.latency_s = {"segmentation": seen - begun, "network": thought - seen, "geometry": done - thought}
        return out
