"""What visual rewards look at."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from deft_env import observation
from deft_env.episode import Outcome
from deft_env.rigs.rig import Frames


def last_images(before: Frames, outcomes: Sequence[Outcome], reward: str) -> NDArray[np.uint8]:
    """How episodes ended, (N, 224, 224, 3), drawn at once by the rig of the frames ``before``.

    Args:
        before: the episodes' first frames.
        outcomes: of the same episodes.
        reward: who asks, for the error.

    Raises:
        ValueError: if an outcome has no last picture.
    """

    def last(outcome: Outcome) -> NDArray[np.uint8]:
        if outcome.last_frame is None:
            raise ValueError(f"reward {reward!r}: the outcome of {outcome.key} has no last picture to look at")
        return observation.image(outcome.last_frame())

    return np.array(before.many([partial(last, outcome) for outcome in outcomes]))
