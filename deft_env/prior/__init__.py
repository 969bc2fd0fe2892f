"""Frames to grasp: simulated, heuristic and learned affordance priors, segmentation, lifting, retargeting."""

from deft_env.prior.prior import Prior, PriorFailureError

__all__ = ["Prior", "PriorFailureError"]
