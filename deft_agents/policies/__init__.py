"""Policies: what to do in the end, fitted to the told trials. Importing this package imports no torch."""

from deft_agents.policies.base import ConstantPolicy, PolicyFitter, load_policy, save_policy

__all__ = ["ConstantPolicy", "PolicyFitter", "load_policy", "save_policy"]
