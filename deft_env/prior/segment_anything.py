"""Segmentation by Segment-Anything with the user's weights, prompted by a point or a box (paper, 3.1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft_env.episode import Frame
from deft_env.prior.prior import PriorFailureError
from deft_env.prior.segmentation import LEAST_PIXELS, Segment

MODELS: Final = ("vit_b", "vit_l", "vit_h")
SOURCE: Final = (
    "a checkpoint of Segment-Anything, such as sam_vit_b_01ec64.pth, published at "
    "https://github.com/facebookresearch/segment-anything"
)


class SegmentAnything:
    """Masks of prompted objects, on one thread."""

    def __init__(self, path: str | Path, model: str = "vit_b", network: Any = None) -> None:
        """Loads the user's weights strictly.

        Args:
            path: checkpoint.
            model: ``vit_b``, ``vit_l`` or ``vit_h``.
            network: an already built network with other sizes, for tests; ``path`` is loaded into it.

        Raises:
            ImportError: if segment-anything is absent; the message names the extra.
            FileNotFoundError: if there is no such file; the message says where it comes from.
            ValueError: for an unknown model or unfitting weights.
        """
        from deft_env._torchvision import import_torchvision
        from deft_env.encoders.checkpoints import fit, load_tensors

        file = Path(path).expanduser()
        if not file.is_file():
            raise FileNotFoundError(f"weights: there is no file {file}. 'sam' is {SOURCE}.")
        if model not in MODELS:
            raise ValueError(f"model: expected one of {MODELS}, got {model!r}")
        import_torchvision()
        try:
            from segment_anything import SamPredictor, sam_model_registry
        except ImportError as error:
            raise ImportError(f"needs segment-anything: pip install 'deft-hand[vision]' ({error})") from error
        network = sam_model_registry[model](checkpoint=None) if network is None else network
        fit(network, load_tensors(file), file, f"Segment-Anything {model}")
        self._predictor = SamPredictor(network.eval())

    def mask(
        self, image: NDArray[np.uint8], *, point: ArrayLike | None = None, box: ArrayLike | None = None
    ) -> NDArray[np.bool_]:
        """The best mask (H, W) of a picture for a point (2,) or a box (4,), px.

        Raises:
            ValueError: unless exactly one prompt is given.
        """
        from deft_env.encoders.inference import single_thread

        if (point is None) == (box is None):
            raise ValueError("point, box: expected exactly one of the two prompts")
        with single_thread():
            self._predictor.set_image(image)
            masks, scores, _ = self._predictor.predict(
                point_coords=None if point is None else np.asarray(point, dtype=np.float64)[None],
                point_labels=None if point is None else np.ones(1, dtype=np.int64),
                box=None if box is None else np.asarray(box, dtype=np.float64),
                multimask_output=box is None,
            )
        self._predictor.reset_image()
        return np.asarray(masks[int(np.argmax(scores))], dtype=bool)

    def segment(self, frame: Frame, *, point: ArrayLike | None = None, box: ArrayLike | None = None) -> Segment:
        """The prompted object of a frame.

        Raises:
            PriorFailureError: if the mask is smaller than 40 px, or shows no depth.
        """
        found = self.mask(frame.rgb, point=point, box=box)
        if found.sum() < LEAST_PIXELS:
            raise PriorFailureError(
                f"Segment-Anything found nothing at point {point!r} or box {box!r}; prompt the object"
            )
        rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
        depth = frame.depth_m[found]
        depth = depth[depth > 0]
        if not len(depth):
            raise PriorFailureError("Segment-Anything's mask shows no depth at all; the surface may be shiny or clear")
        edges = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        return Segment(found, edges, float(np.median(depth)))
