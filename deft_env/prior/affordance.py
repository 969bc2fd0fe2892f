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
from deft_env.prior import lifting, retarget
from deft_env.prior.prior import Prior, PriorFailureError
from deft_env.prior.segmentation import Segment, segment
from deft_env.registries import TaskLike
from deft_env.rigs.rig import Frames
from deft_env.video import crops
from deft_env.video.shards import IMAGE_PX

Array = NDArray[np.float64]

SHIPPED: Final = "affordance-small-synthetic.safetensors"
"""The small network, trained on synthetic videos; its card lies beside it."""
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


class AffordancePrior(Prior):
    """The affordance network on a rig's first frames, one scene at a time on one thread.

    Attributes:
        card: what the weights say of themselves.
        latency_s: seconds that each step took for the newest frame: segmentation, network, geometry.
    """

    name = "affordance"

    def __init__(self, weights: Weights | None = None, segmentation: str = "depth", inside: bool = True) -> None:
        """Reads the weights.

        Args:
            weights: ``affordance`` (else the shipped small network), ``clip`` where the network was trained with CLIP's
                text tower, ``sam`` where ``segmentation`` is ``"sam"``.
            segmentation: ``"depth"``: what stands out of the table; ``"sam"``: Segment-Anything, prompted by the box
            that
                the depth gives.
            inside: move the contact from the surface into the object by half its width, since the robot's grasp site
            lies
                between its fingers, not on a surface (our choice).

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
        self._inside = inside
        self._segment: Callable[[Frame], Segment] = segment
        if segmentation == "sam":
            from deft_env.prior.segment_anything import SOURCE, SegmentAnything

            if not weights or "sam" not in weights:
                raise ValueError(f"weights: 'sam' needs a file: --weights sam=PATH. It is {SOURCE}.")
            sam = SegmentAnything(weights["sam"])
            self._segment = lambda frame: sam.segment(frame, box=segment(frame).box)
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
        for i, key in enumerate(frames.keys):
            try:
                xi[i] = self._one(frames[i], task)
            except (PriorFailureError, crops.EmptyCropError, lifting.NoDepthError) as error:
                raise PriorFailureError(f"{key}: {error}", i) from None
        return xi

    def _one(self, frame: Frame, task: TaskLike) -> Array:
        begun = time.perf_counter()
        found = self._segment(frame)
        square = crops.square_box(np.array(found.box, dtype=np.float64), frame.rgb.shape)
        crop = crops.cut(frame.rgb, square, IMAGE_PX)
        seen = time.perf_counter()
        contacts, wrist, pose, _ = self.predict_crop(crop, task.instruction)
        thought = time.perf_counter()
        pixel = np.clip(lifting.average_contact(contacts, square), 0.0, [frame.rgb.shape[1], frame.rgb.shape[0]])
        pixel = lifting.snap(frame.depth_m, pixel, found.mask)
        lifted = lifting.lift(frame, pixel, found.mask)
        point = lifted.point_base_m
        if self._inside:
            ray = point - frame.T_base_cam[:3, 3]
            point = point + ray / np.linalg.norm(ray) * min(thickness_m(found, frame), DEEPEST_M)
        out = np.empty(grasp.DIM)
        out[grasp.MU] = point
        out[grasp.WRIST] = retarget.retarget_wrist(wrist, frame.T_base_cam, task.nominal_rotation).angles_rad
        out[grasp.FINGERS] = retarget.retarget_fingers(pose)
        out = grasp.executable(out)
        done = time.perf_counter()
        self.latency_s = {"segmentation": seen - begun, "network": thought - seen, "geometry": done - thought}
        return out
