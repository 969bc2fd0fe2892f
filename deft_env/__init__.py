"""The world of DEFT: what an episode is, and everything that happens in one.

Importing this package registers the Gymnasium ids ``deft/<Task>-v0`` and ``deft/<Task>Live-v0`` and imports nothing
heavy (no torch, no simulator).
"""

__version__ = "0.1.0"
