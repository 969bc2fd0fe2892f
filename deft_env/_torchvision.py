"""Imports torchvision also where its compiled part does not fit the installed torch.

A CPU build of torch beside the CUDA build of torchvision (the two usual downloads) leaves torchvision without its
compiled operators, and then ``import torchvision`` itself fails, and with it open_clip, timm and segment_anything.
Declaring the two missing operators (schemas only, no code) lets the import succeed. Nothing is faked: an operator
that is not there, such as ``torchvision.ops.nms``, still raises when it is called. The better cure is a matching pair
of builds.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

_library: Any = None
_MISSING = "operator torchvision::nms does not exist"


def import_torchvision() -> Any:
    """Returns the module torchvision; call it before the first import of open_clip, timm or segment_anything.

    Raises:
        ImportError: if torchvision is not installed; the message names the extra.
        RuntimeError: if torchvision fails to load for any other reason than the one described above.
    """
    global _library
    try:
        return importlib.import_module("torchvision")
    except ModuleNotFoundError as error:
        raise ImportError(f"torchvision is not installed: pip install 'deft-hand[vision]' ({error})") from error
    except RuntimeError as error:
        if _MISSING not in str(error):
            raise
    for name in [n for n in sys.modules if n == "torchvision" or n.startswith("torchvision.")]:
        del sys.modules[name]
    import torch

    # The reference must be kept: the operators vanish with it.
    _library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        _library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return importlib.import_module("torchvision")


def operators_work() -> bool:
    """Whether torchvision's compiled operators are there (``deft doctor`` asks)."""
    import_torchvision()
    return _library is None
