"""What the agent is told: oracle, success, human, embedding distances."""

from deft_env.rewards.reward import Reward

__all__ = ["Reward"]
