"""ResNet18 with torchvision's key names, so that R3M and ImageNet checkpoints load without torchvision installed.

Architecture: He et al. 2016, the version with the stride in the first convolution of a block.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

FEATURES = 512


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        """A stride above 1, or another number of channels, needs a 1 x 1 convolution in the shortcut."""
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels_in != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, H, W) -> (B, channels, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(x)) + shortcut)


class ResNet18(nn.Module):
    """The trunk; ``fc`` exists only where ``classes`` is given, as in ImageNet checkpoints.

    Args:
        classes: outputs of the last layer; 0 leaves it out, as R3M does.
        width: channels of the first stage; 64 is ResNet18, less is a small network with the same key names.
    """

    def __init__(self, classes: int = 0, width: int = 64) -> None:
        super().__init__()
        self.width = width
        self.dim = 8 * width
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = self._stage(width, width, 1)
        self.layer2 = self._stage(width, 2 * width, 2)
        self.layer3 = self._stage(2 * width, 4 * width, 2)
        self.layer4 = self._stage(4 * width, 8 * width, 2)
        self.fc: nn.Module = nn.Linear(self.dim, classes) if classes else nn.Identity()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @staticmethod
    def _stage(channels_in: int, channels: int, stride: int) -> nn.Sequential:
        return nn.Sequential(BasicBlock(channels_in, channels, stride), BasicBlock(channels, channels, 1))

    def spatial(self, images: Tensor) -> Tensor:
        """Features before pooling: normalised images (B, 3, H, W) -> (B, 8 width, H / 32, W / 32)."""
        x = self.maxpool(torch.relu(self.bn1(self.conv1(images))))
        out: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return out

    def pooled(self, images: Tensor) -> Tensor:
        """Features after average pooling: (B, 3, H, W) -> (B, 8 width)."""
        return self.spatial(images).mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Pooled features through ``fc``: class scores, or the features themselves where there is no ``fc``."""
        out: Tensor = self.fc(self.pooled(images))
        return out
