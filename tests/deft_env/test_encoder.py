"""The contract of encoders, and the two without a network."""

import numpy as np
import pytest

from deft_env import registries, testing
from deft_env.encoders.encoder import ColourGrid


@pytest.mark.parametrize("name", ["none", "colour-grid"])
@pytest.mark.parametrize("size", [(224, 224), (97, 130)])
def test_contract(name: str, size: tuple[int, int]) -> None:
    encoder = registries.make_encoder(name)
    assert encoder.name == name
    testing.check_encoder(encoder, size=size)


def test_the_grid_holds_mean_colours() -> None:
    image = np.zeros((1, 4, 4, 3), np.uint8)
    image[0, :2, 2:, 0] = 255  # red, upper right
    image[0, 2, 0] = (0, 100, 0)
    features = ColourGrid(2)(image).reshape(2, 2, 3)
    np.testing.assert_array_equal(features[0, 1], [1.0, -1.0, -1.0])
    np.testing.assert_allclose(features[1, 0], [-1.0, 25 / 127.5 - 1.0, -1.0])
    np.testing.assert_array_equal(features[0, 0], -1.0)


def test_bad_grids_and_images() -> None:
    with pytest.raises(ValueError, match="cells"):
        ColourGrid(0)
    with pytest.raises(ValueError, match="too few"):
        ColourGrid(8)(np.zeros((1, 4, 4, 3), np.uint8))
