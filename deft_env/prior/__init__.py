"""Frames to grasp: simulated, heuristic and learned affordance priors, segmentation, lifting, retargeting."""
