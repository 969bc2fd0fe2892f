"""Visual rewards: the negative distance between the encodings of the last image and the goal image (paper, section
4).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from deft_env import observation
from deft_env.encoders.encoder import Encoder
from deft_env.episode import EpisodeKey, Outcome
from deft_env.registries import TaskLike, Weights, make_rig
from deft_env.rewards.pictures import last_images
from deft_env.rewards.reward import Reward
from deft_env.rigs.rig import Frames

if TYPE_CHECKING:
    from deft_env.rigs.rig import Rig

FARTHEST: Final = 40.0
"""Distance at which the reward ends (our choice): above what two pictures of a table give with these encoders."""


def goal_image(task: TaskLike, goal: str | Path = "", rig: Rig | None = None) -> NDArray[np.uint8]:
    """The goal image (224, 224, 3) of a task: the last picture of its demonstration.

    Args:
        task: whose demonstration names the goal, as a picture file or as the key of a simulated scene.
        goal: a picture that is used instead.
        rig: plays the demonstration where the goal is a key; the simulated rig where None is given.

    Raises:
        ValueError: if there is no goal, or its demonstration could not be played.
        FileNotFoundError: if the picture is not there.
    """
    named = str(goal) or task.demonstration.goal
    if not named:
        raise ValueError(f"goal: the demonstration of {task.name} names none; give a picture with the option goal=PATH")
    if Path(named).suffix.lower() in (".png", ".jpg", ".jpeg"):
        return _read(Path(named))
    key = EpisodeKey.parse(named)
    with make_rig("simulated") if rig is None else rig as player:
        frames = player.reset_batch([key])
        if frames.truths is None:
            raise ValueError(f"goal: {named} is a simulated scene, and the rig {player.name!r} knows no such scenes")
        outcome = player.execute_batch([frames.truths[0].human_grasp], [task.demonstration])[0]
        if outcome.last_frame is None:
            raise ValueError(f"goal: playing the demonstration of {task.name} in {named} gave no picture")
        return observation.image(outcome.last_frame())


def _read(path: Path) -> NDArray[np.uint8]:
    from PIL import Image

    if not path.is_file():
        raise FileNotFoundError(f"goal: there is no picture {path}")
    try:
        with Image.open(path) as picture:
            picture.verify()
        with Image.open(path) as picture:
            array = np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"goal: {path} is no readable picture ({error})") from None
    side = min(array.shape[:2])
    top, left = (array.shape[0] - side) // 2, (array.shape[1] - side) // 2
    square = Image.fromarray(np.ascontiguousarray(array[top : top + side, left : left + side]))
    return np.array(square.resize((observation.SIZE, observation.SIZE), Image.Resampling.BOX))


class EmbeddingReward(Reward):
    """-|e(last image) - e(goal image)| with an encoder e, at least ``-FARTHEST``.

    Pictures are the observation's 224 x 224. Goals are encoded once a task.
    """

    range = (-FARTHEST, 0.0)

    def __init__(self, encoder: Encoder, goal: str | Path = "", rig: Rig | None = None) -> None:
        """Rates by ``encoder``; ``goal`` and ``rig`` as in ``goal_image``."""
        self.encoder = encoder
        self.name, self.stand_in = self.name or encoder.name, encoder.stand_in
        self._goal, self._rig = goal, rig
        self._goals: dict[str, NDArray[np.float64]] = {}

    def goal_features(self, task: TaskLike) -> NDArray[np.float64]:
        """The encoding (d,) of the task's goal image, cached."""
        known = f"{task.name}/{task.demonstration.hash}"
        if known not in self._goals:
            self._goals[known] = self.encoder(goal_image(task, self._goal, self._rig)[None])[0]
        return self._goals[known]

    def rate(self, before: Frames, outcomes: Sequence[Outcome], task: TaskLike) -> NDArray[np.float64]:
        """Rewards (N,) of completed outcomes.

        Raises:
            ValueError: if an outcome has no last picture.
        """
        features = self.encoder(last_images(before, outcomes, self.name))
        distance = np.sqrt(((features - self.goal_features(task)) ** 2).sum(axis=1))
        return -np.minimum(distance, FARTHEST)


class R3MReward(EmbeddingReward):
    """Reward by R3M (paper, Table 3)."""

    name = "r3m"

    def __init__(self, weights: Weights | None = None, goal: str = "") -> None:
        """Reads ``weights["r3m"]``."""
        from deft_env.encoders.networks import R3MEncoder

        super().__init__(R3MEncoder(weights), goal)


class ResNet18Reward(EmbeddingReward):
    """Reward by ResNet18 trained on ImageNet (paper, Table 3)."""

    name = "resnet18"

    def __init__(self, weights: Weights | None = None, goal: str = "") -> None:
        """Reads ``weights["resnet18"]``."""
        from deft_env.encoders.networks import ResNet18Encoder

        super().__init__(ResNet18Encoder(weights), goal)


class TimeContrastiveReward(EmbeddingReward):
    """Reward by the small network trained on synthetic videos with R3M's objective; never reported as R3M."""

    name = "time-contrastive"

    def __init__(self, weights: Weights | None = None, goal: str = "") -> None:
        """Reads ``weights["time-contrastive"]``, or the shipped weights."""
        from deft_env.encoders.networks import TimeContrastiveEncoder

        super().__init__(TimeContrastiveEncoder(weights), goal)


class RandomResNet18Reward(EmbeddingReward):
    """Reward by a random ResNet18: a stand-in, for machines without weights and for tests; never reported as R3M."""

    name = "resnet18-random"

    def __init__(self, goal: str = "", seed: int = 0) -> None:
        """Draws the network from ``seed``."""
        from deft_env.encoders.networks import RandomResNet18Encoder

        super().__init__(RandomResNet18Encoder(seed), goal)
