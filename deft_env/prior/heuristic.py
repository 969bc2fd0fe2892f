"""The baseline without a learned prior ("Real-world only", paper, section 4).

mu is the centre of the segmented object's bounding box, lifted to 3-D; the rotation is random; the hand is half closed.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from deft_env import episode, grasp
from deft_env.episode import EpisodeKey
from deft_env.prior.prior import Prior, PriorFailureError
from deft_env.prior.segmentation import Finder, box_centre_m
from deft_env.registries import TaskLike
from deft_env.rigs.rig import Frames

Rotation = Literal["episode", "run", "palm-down"]
ROTATIONS: Final[tuple[str, ...]] = get_args(Rotation)
HALF_CLOSED: Final = 0.5
"""Share of each bending joint's upper limit (our choice for "half closed")."""


def half_closed() -> NDArray[np.float64]:
    """Finger angles (16,) of the half-closed hand, as twelve motors can hold them."""
    fingers = HALF_CLOSED * grasp.HIGH[grasp.FINGERS]
    fingers[0::4] = 0.0
    return grasp.motors_to_joints(grasp.joints_to_motors(fingers))


def palm_down_wrist(nominal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Wrist angles (3,) that turn the task's nominal orientation, by the shortest way, until the palm faces the table.

    The palm faces along the hand's z. Keeping the nominal heading is our choice.

    Raises:
        ValueError: if the nominal palm is a quarter turn or more away from that.
    """
    z = np.asarray(nominal, dtype=np.float64)[:, 2]
    if z[2] > -0.07:  # 86 degrees, the limit of each wrist angle
        raise ValueError("nominal: the palm is a quarter turn or more away from facing down; use another rotation")
    x, y = z[0], z[1]
    scale = 1.0 / (1.0 - z[2])
    # Rodrigues' formula for the turn that takes z to (0, 0, -1).
    turn = np.array([[1 - scale * x * x, -scale * x * y, x], [-scale * x * y, 1 - scale * y * y, y], [-x, -y, -z[2]]])
    return grasp.rotation_to_wrist(turn @ nominal, nominal)


class HeuristicPrior(Prior):
    """Looks at depth, and at words where several things stand on the table; needs no truth, so it runs on every rig.

    Which thing the task is about is segmentation, not a prior: it finds the same one as ``affordance`` does.
    """

    name = "heuristic"

    def __init__(self, rotation: Rotation = "episode") -> None:
        """Chooses how the wrist is turned.

        Args:
            rotation: ``"episode"`` (default): the three angles uniform within the wrist limits, drawn per episode;
                ``"run"``: drawn once for a seed, the same in every role and episode; ``"palm-down"``: the palm faces
                the table (the thesis version of the work).

        Raises:
            ValueError: for another rotation.
        """
        if rotation not in ROTATIONS:
            raise ValueError(f"rotation: expected one of {', '.join(ROTATIONS)}, got {rotation!r}")
        self.rotation = rotation
        self._find = Finder()
        if rotation != "episode":
            self.name = f"heuristic-{rotation}"

    def _wrist(self, key: EpisodeKey, task: TaskLike) -> NDArray[np.float64]:
        if self.rotation == "palm-down":
            return palm_down_wrist(task.nominal_rotation)
        if self.rotation == "run":
            generator = episode.generator("run", key.task, key.seed, "heuristic rotation")
        else:
            generator = key.generator("heuristic rotation")
        return generator.uniform(-grasp.WRIST_LIMIT_RAD, grasp.WRIST_LIMIT_RAD, size=3)

    def predict(self, frames: Frames, task: TaskLike) -> NDArray[np.float64]:
        """Grasps (N, 22); see the module.

        Raises:
            PriorFailureError: if a frame shows nothing over the table.
        """
        xi = np.empty((len(frames), grasp.DIM))
        for i, (key, frame) in enumerate(zip(frames.keys, frames[:], strict=True)):  # drawn at once
            try:
                xi[i, grasp.MU] = box_centre_m(frame, self._find(frame, task.instruction))
            except PriorFailureError as error:
                raise PriorFailureError(f"{key}: {error}", i) from None
            xi[i, grasp.WRIST] = self._wrist(key, task)
            xi[i, grasp.FINGERS] = half_closed()
        return xi


def run_rotation() -> HeuristicPrior:
    """The heuristic with one random rotation for a whole run."""
    return HeuristicPrior("run")


def palm_down() -> HeuristicPrior:
    """The heuristic with the palm facing down."""
    return HeuristicPrior("palm-down")
