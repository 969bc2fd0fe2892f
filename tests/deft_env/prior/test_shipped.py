"""The shipped weights load, say what they are, and reach their stated error on synthetic videos they have not seen."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("mujoco")

from deft_env.prior import checkpoint
from deft_env.prior.affordance import AffordancePrior, weights_file
from deft_env.sim.render import RenderingUnavailableError

STATED = {"contact_px": 15.6, "wrist_deg": 12.0, "robot_joint_deg": 3.4}
"""Means on 267 held-out labels, as the model card has them; the best constants have 32.7, 37.3 and 10.4."""


def test_card():
    path = weights_file(None)
    assert path.stat().st_size < 4e6
    network, card = checkpoint.load_network(path)
    assert card.text_encoder == "stand-in-text"
    assert card.trunk == "random"
    assert card.training["preset"] == "small"
    assert path.with_suffix(".md").is_file()
    assert AffordancePrior().card == card
    assert not network.training


@pytest.mark.slow
def test_stated_error_on_held_out_videos(tmp_path):
    from deft_env.prior.evaluate import evaluate
    from deft_env.video.extract import ExtractConfig, extract
    from deft_env.video.synthetic import SyntheticConfig, make_videos

    try:
        make_videos(SyntheticConfig(str(tmp_path / "v"), 32, seed=3, shapes=0.2))
    except RenderingUnavailableError as error:
        pytest.skip(str(error))
    extract(ExtractConfig("epic-kitchens", str(tmp_path / "v"), str(tmp_path / "l"), poses="hamer"))
    means = evaluate(None, [tmp_path / "l"], tmp_path / "overlay.png").means()
    for name, stated in STATED.items():
        # Some 28 labels have a standard error of about 15 % of the mean.
        assert means[name] < 1.5 * stated, f"{name}: {means[name]:.1f}, stated {stated}"
