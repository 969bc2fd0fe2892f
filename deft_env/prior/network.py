"""The affordance network f(crop, instruction) -> contact points, wrist rotation, hand pose (paper, 3.1 and appendix
D).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from deft_env import paper
from deft_env.encoders.resnet import ResNet18


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Sizes of the network; the defaults are the paper's, and our choices where it is silent.

    Attributes:
        image_px: side of the crop.
        trunk_width: channels of the trunk's first stage; 64 is ResNet18.
        deconv_channels: channels of the three deconvolutions.
        contact_points: k.
        text_dim: length of the text vectors.
        embedding_dim: length of the tokens; a linear layer is added where image or text vectors have another length.
        layers, heads, mlp_width: of the transformer encoder and the MLP after it.
        concat: one token of image and text together instead of two.
    """

    image_px: int = 224
    trunk_width: int = 64
    deconv_channels: tuple[int, int, int] = paper.DECONV_CHANNELS
    contact_points: int = paper.CONTACT_POINTS
    text_dim: int = paper.EMBEDDING_DIM
    embedding_dim: int = paper.EMBEDDING_DIM
    layers: int = paper.TRANSFORMER_LAYERS
    heads: int = paper.TRANSFORMER_HEADS
    mlp_width: int = paper.AFFORDANCE_MLP_WIDTH
    concat: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "deconv_channels", tuple(self.deconv_channels))
        if self.image_px % 32 or not 32 <= self.image_px <= 512:
            raise ValueError(f"image_px: expected a multiple of 32 in 32 … 512, got {self.image_px}")
        if len(self.deconv_channels) != 3:
            raise ValueError(f"deconv_channels: expected three numbers, got {self.deconv_channels}")
        width = self.embedding_dim * (2 if self.concat else 1)
        if width % self.heads:
            raise ValueError(f"heads: a token of {width} cannot be divided among {self.heads} heads")


PRESETS: Final = {
    "paper": NetworkConfig(),
    "small": NetworkConfig(
        image_px=96,
        trunk_width=16,
        deconv_channels=(96, 64, 32),
        embedding_dim=128,
        layers=2,
        heads=8,
        mlp_width=192,
    ),
}
"""``paper``: sizes of the paper, section 3.1 and appendix. ``small``: a few MB, for CPUs (our choice)."""


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What f says of B crops.

    Attributes:
        contacts: (B, k, 2), x and y in [0, 1] of the crop.
        wrist: (B, 3) axis-angle, rad, MANO wrist -> camera.
        pose: (B, 45) absolute MANO axis-angles, rad.
        heatmaps: (B, k, h, w), each sums to 1.
    """

    contacts: Tensor
    wrist: Tensor
    pose: Tensor
    heatmaps: Tensor


def spatial_softmax(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (B, k, h, w) -> expected positions (B, k, 2), x and y in [0, 1], and the heatmaps; in float32."""
    b, k, h, w = logits.shape
    heat = torch.softmax(logits.float().reshape(b, k, h * w), dim=-1).reshape(b, k, h, w)
    x = (torch.arange(w, device=logits.device, dtype=torch.float32) + 0.5) / w
    y = (torch.arange(h, device=logits.device, dtype=torch.float32) + 0.5) / h
    return torch.stack([(heat.sum(2) * x).sum(-1), (heat.sum(3) * y).sum(-1)], dim=-1), heat


class AffordanceNetwork(nn.Module):
    """f. The trunk's spatial features give the contact points, its pooled ones and the text the wrist and the pose."""

    def __init__(self, config: NetworkConfig = PRESETS["paper"]) -> None:
        """Random weights from torch's global generator; ``load_trunk`` puts a pretrained trunk in."""
        super().__init__()
        self.config = config
        self.trunk = ResNet18(width=config.trunk_width)
        layers: list[nn.Module] = []
        channels = self.trunk.dim
        for out in config.deconv_channels:
            layers += [nn.ConvTranspose2d(channels, out, 4, 2, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
            channels = out
        self.deconv = nn.Sequential(*layers)
        self.heatmap = nn.Conv2d(channels, config.contact_points, 1)
        e = config.embedding_dim
        self.image_token: nn.Module = nn.Identity() if self.trunk.dim == e else nn.Linear(self.trunk.dim, e)
        self.text_token: nn.Module = nn.Identity() if config.text_dim == e else nn.Linear(config.text_dim, e)
        width = 2 * e if config.concat else e
        self.kind = nn.Parameter(0.02 * torch.randn(2, e))
        layer = nn.TransformerEncoderLayer(width, config.heads, 4 * width, dropout=0.0, batch_first=True)
        self.transformer = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        self.mlp = nn.Sequential(
            nn.Linear(2 * e, config.mlp_width), nn.ReLU(), nn.Linear(config.mlp_width, 3 + paper.MANO_POSE_DIM)
        )

    def load_trunk(self, trunk: ResNet18) -> None:
        """Copies the weights of a pretrained trunk.

        Raises:
            ValueError: if the trunk has another width.
        """
        if trunk.width != self.config.trunk_width:
            raise ValueError(
                f"trunk: pretrained weights have width {trunk.width}, this preset {self.config.trunk_width}; "
                "use the preset 'paper'"
            )
        self.trunk.load_state_dict(trunk.state_dict(), strict=True)

    def forward(self, images: Tensor, text: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Normalised crops (B, 3, S, S) and text vectors (B, text_dim) -> contacts, wrist, pose, heatmaps."""
        spatial = self.trunk.spatial(images)
        contacts, heat = spatial_softmax(self.heatmap(self.deconv(spatial)))
        z_image = self.image_token(spatial.mean(dim=(2, 3))) + self.kind[0]
        z_text = self.text_token(text.to(z_image.dtype)) + self.kind[1]
        if self.config.concat:
            tokens = torch.cat([z_image, z_text], dim=1)[:, None]
        else:
            tokens = torch.stack([z_image, z_text], dim=1)
        out = self.mlp(self.transformer(tokens).flatten(1)).float()
        return contacts, out[:, :3], out[:, 3:], heat

    def predict(self, images: Tensor, text: Tensor) -> Prediction:
        """``forward`` with names."""
        return Prediction(*self(images, text))
