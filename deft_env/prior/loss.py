"""The loss of f (paper, eq. 1), contact points matched by the cheapest assignment, and the figures of validation."""

from __future__ import annotations

from functools import cache
from itertools import permutations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor

from deft_env import paper
from deft_env.prior import retarget

_ENUMERATE_UP_TO = 6


@cache
def _orders(k: int) -> tuple[tuple[int, ...], ...]:
    return tuple(permutations(range(k)))


def match(predicted: Tensor, target: Tensor) -> Tensor:
    """Orders target points (B, k, 2) so that point i is the partner of predicted point i, least squared distance in
    sum.

    For the usual k = 5 all 120 assignments are tried at once on the device, which gives what the Hungarian method gives
    without leaving it; larger k go through scipy.
    """
    k = predicted.shape[1]
    with torch.no_grad():
        cost = (predicted[:, :, None] - target[:, None]).square().sum(-1)
        if k <= _ENUMERATE_UP_TO:
            orders = torch.tensor(_orders(k), device=cost.device)
            total = cost[:, torch.arange(k, device=cost.device)[None], orders].sum(-1)
            order = orders[total.argmin(dim=1)]
        else:
            from scipy.optimize import linear_sum_assignment

            rows = [linear_sum_assignment(c)[1] for c in cost.double().cpu().numpy()]
            order = torch.as_tensor(np.array(rows), device=cost.device)
    return torch.gather(target, 1, order[..., None].expand(-1, -1, 2))


def _norm(difference: Tensor) -> Tensor:
    # The small number keeps the gradient of the norm finite where a prediction is exact.
    return (difference.flatten(1).square().sum(-1) + 1e-12).sqrt().mean()


def affordance_loss(
    contacts: Tensor, wrist: Tensor, pose: Tensor, target_contacts: Tensor, target_wrist: Tensor, target_pose: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Eq. 1: 1.0 |mu - mu'| + 0.1 |theta - theta'| + 0.1 |P - P'|, L2 norms, mean over the batch; and its terms."""
    terms = {
        "contact": _norm(contacts - match(contacts, target_contacts)),
        "wrist": _norm(wrist - target_wrist),
        "pose": _norm(pose - target_pose),
    }
    total = paper.LAMBDA_MU * terms["contact"] + paper.LAMBDA_WRIST * terms["wrist"] + paper.LAMBDA_POSE * terms["pose"]
    return total, terms


def near_reference(axis_angles: ArrayLike, reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the axis-angles that mean the same rotation, those nearest to a reference; (N, 3), rad.

    A rotation by nearly half a turn has two axis-angles of opposite sign, and a regression towards both learns neither.
    """
    vectors = np.asarray(axis_angles, dtype=np.float64)
    angle = np.linalg.norm(vectors, axis=-1, keepdims=True)
    other = np.where(angle > 1e-9, vectors * (1.0 - 2.0 * np.pi / np.maximum(angle, 1e-9)), vectors)
    nearer = np.linalg.norm(other - reference, axis=-1) < np.linalg.norm(vectors - reference, axis=-1)
    return np.where(nearer[..., None], other, vectors)


def mean_rotation(axis_angles: ArrayLike) -> NDArray[np.float64]:
    """The mean of rotations (N, 3) as an axis-angle (3,)."""
    mean: NDArray[np.float64] = Rotation.from_rotvec(np.asarray(axis_angles, dtype=np.float64)).mean().as_rotvec()
    return mean


def errors(
    contacts: ArrayLike,
    wrist: ArrayLike,
    pose: ArrayLike,
    target_contacts: ArrayLike,
    target_wrist: ArrayLike,
    target_pose: ArrayLike,
    image_px: int = 224,
) -> dict[str, NDArray[np.float64]]:
    """Errors (N,) of each prediction, by name, in units that mean something.

    ``contact_px``: between the averaged contact points, px of the crop; ``points_px``: mean over matched points;
    ``wrist_deg``: angle between the wrists; ``mano_joint_deg``: mean angle over MANO's 15 joints;
    ``robot_joint_deg``: mean absolute error over the 16 retargeted joints.
    """
    p, t = np.asarray(contacts, dtype=np.float64), np.asarray(target_contacts, dtype=np.float64)
    matched = match(torch.from_numpy(p), torch.from_numpy(t)).numpy()
    turn = Rotation.from_rotvec(np.asarray(wrist, dtype=np.float64))
    truth = Rotation.from_rotvec(np.asarray(target_wrist, dtype=np.float64))
    a = np.asarray(pose, dtype=np.float64).reshape(-1, 15, 3)
    b = np.asarray(target_pose, dtype=np.float64).reshape(-1, 15, 3)
    joints = (Rotation.from_rotvec(a.reshape(-1, 3)).inv() * Rotation.from_rotvec(b.reshape(-1, 3))).magnitude()
    robot = np.abs(retarget.retarget_fingers(a) - retarget.retarget_fingers(b))
    return {
        "contact_px": np.linalg.norm(p.mean(1) - t.mean(1), axis=-1) * image_px,
        "points_px": np.linalg.norm(p - matched, axis=-1).mean(1) * image_px,
        "wrist_deg": np.rad2deg((turn.inv() * truth).magnitude()),
        "mano_joint_deg": np.rad2deg(joints.reshape(-1, 15).mean(1)),
        "robot_joint_deg": np.rad2deg(robot.mean(1)),
    }
