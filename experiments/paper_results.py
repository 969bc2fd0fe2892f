"""The paper's published figures (10 trials a cell), as data: tables 2 and 3, figures 6 and 7."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from deft_env import paper

TASKS_TABLE_2: Final = ("PickCup", "PourCup", "OpenDrawer", "PickSpoon", "ScoopGrape", "StirSpoon")
TASKS_TABLE_3: Final = ("PourCup", "OpenDrawer", "PickSpoon")
CURVE_EPISODES: Final = (10, 20, 30)
"""Episodes after which the policies of figures 6 and 7 were distilled."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: success rates of ten trials; ``test`` equals ``train`` where the paper gives one figure a task."""

    train: float
    test: float

    def successes(self, split: str) -> int:
        """The count behind a rate, out of ``paper.PAPER_TRIALS``."""
        return round((self.train if split == "train" else self.test) * paper.PAPER_TRIALS)


def _row(tasks: tuple[str, ...], *rates: tuple[float, float] | float) -> dict[str, Cell]:
    cells = [Cell(*r) if isinstance(r, tuple) else Cell(r, r) for r in rates]
    return dict(zip(tasks, cells, strict=True))


TABLE_2: Final = {
    "Real-world only": _row(TASKS_TABLE_2, (0.0, 0.1), (0.2, 0.1), (0.1, 0.0), (0.7, 0.3), (0.0, 0.0), (0.3, 0.0)),
    "Affordance only": _row(TASKS_TABLE_2, 0.1, 0.4, 0.5, 0.5, 0.0, 0.3),
    "DEFT": _row(TASKS_TABLE_2, (0.8, 0.8), (0.8, 0.9), (0.5, 0.4), (0.8, 0.6), (0.7, 0.3), (0.8, 0.5)),
}
"""Table 2: method -> task -> cell."""

TABLE_3: Final = {
    "R3M reward": _row(TASKS_TABLE_3, (0.0, 0.0), (0.4, 0.5), (0.5, 0.4)),
    "ResNet18 ImageNet reward": _row(TASKS_TABLE_3, (0.1, 0.2), (0.3, 0.1), (0.4, 0.2)),
    "DEFT w/ MLP": _row(TASKS_TABLE_3, (0.0, 0.0), (0.5, 0.0), (0.6, 0.5)),
    "DEFT w/ Transformer": _row(TASKS_TABLE_3, (0.4, 0.5), (0.6, 0.1), (0.4, 0.5)),
    "DEFT w/ direct parameter estimation": _row(TASKS_TABLE_3, (0.1, 0.1), (0.1, 0.0), (0.3, 0.0)),
    "DEFT": _row(TASKS_TABLE_3, (0.8, 0.9), (0.5, 0.4), (0.8, 0.6)),
}
"""Table 3: variant -> task -> cell."""

FIGURE_6: Final = {
    "PickCup": {"DEFT": (0.0, 0.2, 0.8), "Real-world only": (0.0, 0.1, 0.0)},
    "PourCup": {"DEFT": (0.1, 0.3, 0.8), "Real-world only": (0.0, 0.0, 0.2)},
    "OpenDrawer": {"DEFT": (0.4, 0.7, 0.5), "Real-world only": (0.2, 0.1, 0.1)},
    "PickSpoon": {"DEFT": (0.6, 0.6, 0.8), "Real-world only": (0.3, 0.5, 0.7)},
    "ScoopGrape": {"DEFT": (0.1, 0.2, 0.7), "Real-world only": (0.0, 0.0, 0.0)},
    "StirSpoon": {"DEFT": (0.5, 0.3, 0.8), "Real-world only": (0.3, 0.2, 0.3)},
}
"""Figure 6 (read off the vector graphic of the thesis): task -> method -> success after 10, 20, 30 episodes."""

FIGURE_7: Final = {"PickGrape": (0.1, 0.2, 0.4), "FlipBagel": (0.2, 0.5, 0.6), "SqueezeLemon": (0.1, 0.4, 0.7)}
"""Figure 7: task -> success of DEFT after 10, 20, 30 episodes."""
FIGURE_7_AFFORDANCE: Final = {"PickGrape": 0.1, "FlipBagel": 0.3, "SqueezeLemon": 0.1}
"""Figure 7: task -> success of the affordance model alone."""


def published(task: str, method: str, split: str) -> float | None:
    """The paper's rate of ``"DEFT"``, ``"Affordance only"`` or ``"Real-world only"``; None where it gives none."""
    if method in TABLE_2 and task in TABLE_2[method]:
        cell = TABLE_2[method][task]
        return cell.train if split == "train" else cell.test
    if split == "train" and task in FIGURE_7:
        if method == "DEFT":
            return FIGURE_7[task][-1]
        if method == "Affordance only":
            return FIGURE_7_AFFORDANCE[task]
    return None
