"""The joint tree of a MANO-like hand: names, order, parents, invented template joints, and how to read a user's own
file.

No MANO data is in this repository (it is licence-gated). What the retargeting needs is the direction of the bones at
zero pose only; ``TEMPLATE_JOINTS_M`` is an invented hand with MANO's orientation (right hand: fingers along -x, back of
the hand +y, thumb side +z) and lengths after published adult averages. A user's ``MANO_RIGHT.pkl`` gives the exact
axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deft_env import paper
from deft_env.video.unpickle import load_mano_pickle

Array = NDArray[np.float64]

FINGERS: Final = ("index", "middle", "little", "ring", "thumb")
"""MANO's own order: the little finger comes before the ring finger."""
FIRST_JOINT: Final = {name: 1 + 3 * i for i, name in enumerate(FINGERS)}
"""Number of a finger's joint nearest to the wrist; the next two follow it. Joint 0 is the wrist."""
JOINTS: Final = 1 + 3 * len(FINGERS)
PARENTS: Final = tuple([-1] + [0 if j % 3 == 1 else j - 1 for j in range(1, JOINTS)])
POSE_JOINTS: Final = paper.MANO_POSE_DIM // 3

_TEMPLATE: Final = {
    # finger: root (MCP; CMC of the thumb), then the next two joints, m; invented, see the module's docstring
    "index": ((-0.0890, 0.0020, 0.0250), (-0.1290, 0.0015, 0.0290), (-0.1530, 0.0005, 0.0310)),
    "middle": ((-0.0920, 0.0040, 0.0010), (-0.1360, 0.0040, 0.0010), (-0.1640, 0.0030, 0.0010)),
    "little": ((-0.0720, -0.0040, -0.0400), (-0.1050, -0.0050, -0.0490), (-0.1240, -0.0060, -0.0540)),
    "ring": ((-0.0840, 0.0010, -0.0210), (-0.1240, 0.0005, -0.0250), (-0.1490, -0.0005, -0.0275)),
    "thumb": ((-0.0220, -0.0130, 0.0250), (-0.0500, -0.0190, 0.0510), (-0.0740, -0.0230, 0.0700)),
}
TIP_LENGTHS_M: Final = {"index": 0.022, "middle": 0.023, "little": 0.019, "ring": 0.023, "thumb": 0.024}
"""Length of the last phalanx, which has no joint at its end (invented)."""


def _template() -> Array:
    joints = np.zeros((JOINTS, 3))
    for finger, points in _TEMPLATE.items():
        joints[FIRST_JOINT[finger] : FIRST_JOINT[finger] + 3] = points
    joints.setflags(write=False)
    return joints


TEMPLATE_JOINTS_M: Final = _template()
"""(16, 3) joints of the invented right hand at zero pose, wrist at the origin."""


@dataclass(frozen=True, slots=True, eq=False)
class HandModel:
    """What this project takes from a hand model.

    Attributes:
        joints_m: (16, 3) joints at zero pose and mean shape, MANO's order.
        mean_pose: (15, 3) axis-angles that relative poses are offsets from; None where it is not known.
        source: where it comes from, for records.
    """

    joints_m: Array
    mean_pose: Array | None
    source: str

    def __post_init__(self) -> None:
        joints = np.asarray(self.joints_m, dtype=np.float64)
        if joints.shape != (JOINTS, 3) or not np.isfinite(joints).all():
            raise ValueError(f"joints_m: expected finite ({JOINTS}, 3), got {joints.shape}")
        object.__setattr__(self, "joints_m", joints)
        if self.mean_pose is not None:
            mean = np.asarray(self.mean_pose, dtype=np.float64)
            if mean.size != paper.MANO_POSE_DIM or not np.isfinite(mean).all():
                raise ValueError(f"mean_pose: expected {paper.MANO_POSE_DIM} finite numbers, got shape {mean.shape}")
            object.__setattr__(self, "mean_pose", mean.reshape(POSE_JOINTS, 3))


INVENTED: Final = HandModel(TEMPLATE_JOINTS_M, None, "invented template (no MANO data)")


def load_hand_model(path: str | Path) -> HandModel:
    """Reads joints and mean pose from the user's own ``MANO_RIGHT.pkl``, running nothing that the file asks for.

    Raises:
        FileNotFoundError: if there is no such file; the message says where MANO comes from.
        ValueError: if the file is not a MANO right hand, or asks for a class that is not on the short list.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(
            f"path: there is no {file}; MANO_RIGHT.pkl comes with a licence from https://mano.is.tue.mpg.de"
        )
    data: Any = load_mano_pickle(file)
    if not isinstance(data, dict) or not {"v_template", "J_regressor", "hands_mean"} <= set(data):
        raise ValueError(f"{file}: expected a MANO file with v_template, J_regressor and hands_mean")
    vertices = np.asarray(data["v_template"], dtype=np.float64)
    regressor = np.asarray(data["J_regressor"], dtype=np.float64)
    if vertices.ndim != 2 or vertices.shape[1] != 3 or regressor.shape != (JOINTS, len(vertices)):
        raise ValueError(f"{file}: v_template {vertices.shape} and J_regressor {regressor.shape} do not fit together")
    model = HandModel(regressor @ vertices, np.asarray(data["hands_mean"], dtype=np.float64), file.name)
    if model.joints_m[FIRST_JOINT["middle"], 0] > model.joints_m[0, 0]:
        raise ValueError(f"{file}: the fingers point along +x, so this is the left hand; give MANO_RIGHT.pkl")
    return model
