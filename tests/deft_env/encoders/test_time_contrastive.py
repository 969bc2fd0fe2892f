"""R3M's objective on toy clips: a square that moves on; training puts frames in order, and the file is an encoder."""

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from deft_env import registries
from deft_env.encoders import time_contrastive as tc
from deft_env.encoders.resnet import ResNet18
from deft_env.prior.checkpoint import save_tensors


def toy(n=6, frames=8):
    rng = np.random.default_rng(0)
    images = rng.integers(60, 80, (n, frames, 32, 32, 3), dtype=np.uint8)
    for i in range(n):
        for t in range(frames):
            images[i, t, 2 + i : 12 + i, 2 + 2 * t : 10 + 2 * t] = (250, 40 * i, 40)
    return tc.Clips(images, tuple(f"move the thing {i}" for i in range(n)))


def test_each_term_prefers_what_it_is_for():
    text = torch.zeros(3, 2)
    base = torch.arange(3.0)[:, None, None] * 100
    ordered = base + torch.tensor([0.0, 1.0, 2.0, 6.0])[None, :, None]
    shuffled = ordered[:, [0, 1, 3, 2]]

    def progress(first, now, words):
        return (now - first).sum(-1)

    def far(first, now, words):
        return -(now - first).sum(-1)

    good, bad = tc.terms(ordered, text, progress), tc.terms(shuffled, text, progress)
    assert good["time"] < bad["time"]
    assert good["language"] < tc.terms(ordered, text, far)["language"]
    assert tc.terms(0.5 * ordered, text, progress)["l1"] == pytest.approx(0.5 * float(good["l1"]))


def test_training_lowers_the_loss_and_the_file_is_encoder_and_reward(tmp_path, monkeypatch):
    clips = toy()
    monkeypatch.setattr(tc, "read_clips", lambda folder: clips)
    rows = []
    config = tc.EncoderTrainConfig("videos", str(tmp_path / "e.safetensors"), width=4, steps=100, batch=6)
    path = tc.train_encoder(config, rows.append)
    assert rows[-1]["time"] < 0.8 * np.log(3)  # what blind features give
    again = tc.train_encoder(
        tc.EncoderTrainConfig("videos", str(tmp_path / "f.safetensors"), width=4, steps=100, batch=6)
    )
    assert path.read_bytes()[-400:] == again.read_bytes()[-400:]
    encoder = registries.make_encoder("time-contrastive", weights={"time-contrastive": path})
    pictures = np.random.default_rng(1).integers(0, 255, (2, 224, 224, 3), dtype=np.uint8)
    assert encoder.dim == 32
    assert (encoder(pictures)[1] == encoder(pictures[1:])[0]).all()
    reward = registries.make_reward("time-contrastive", weights={"time-contrastive": path})
    assert reward.name == "time-contrastive"


def test_shipped_weights_are_read_without_any_given():
    assert tc.shipped().stat().st_size < 3e6
    assert tc.shipped().with_suffix(".md").is_file()
    encoder = registries.make_encoder("time-contrastive")
    rng = np.random.default_rng(2)
    pictures = rng.integers(0, 255, (2, 224, 224, 3), dtype=np.uint8)
    features = encoder(pictures)
    assert features.shape == (2, 128)
    assert np.ptp(features, axis=0).max() > 0.01
    assert registries.make_reward("time-contrastive").encoder.dim == 128


def test_wrong_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        registries.make_encoder("time-contrastive", weights={"time-contrastive": tmp_path / "none"})
    path = tmp_path / "x.safetensors"
    save_tensors(path, ResNet18(width=4).state_dict(), {"format": "other", "width": 4})
    with pytest.raises(ValueError, match="expected a deft-time-contrastive-1"):
        registries.make_encoder("time-contrastive", weights={"time-contrastive": path})
    save_tensors(path, ResNet18(width=8).state_dict(), {"format": tc.FORMAT, "width": 4})
    with pytest.raises(ValueError, match="shape"):
        registries.make_encoder("time-contrastive", weights={"time-contrastive": path})
