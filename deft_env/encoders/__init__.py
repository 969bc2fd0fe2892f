"""Images to features, shared by rewards, policies and the prior."""

from deft_env.encoders.encoder import Encoder

__all__ = ["Encoder"]
