"""Was it done? A toy training, the file that comes of it, the shipped weights on fresh attempts, and the reward."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")

from deft_env import registries, testing
from deft_env.encoders import attempts as at
from deft_env.encoders import success_detector as sd
from deft_env.encoders.ranking import auc
from deft_env.encoders.resnet import ResNet18
from deft_env.episode import FRAME_SHAPE, EpisodeKey, Frame, Outcome, Status
from deft_env.prior.checkpoint import halve, save_tensors
from deft_env.rigs.rig import Frames

DONE = np.array([kind == at.DONE for kind in at.KINDS])
PX = 48
"""Side of toy pictures."""


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(sd, "IMAGE_PX", PX)


def toy(n=8, seed=0):
    """A square leaves its place where it was done, and else stays; a hand (a bar) comes either way."""
    rng = np.random.default_rng(seed)
    before = np.full((n, PX, PX, 3), 90, np.uint8)
    after = np.repeat(before[:, None], len(at.KINDS), axis=1)
    for i in range(n):
        top, left = rng.integers(22, 36, 2)
        colour = rng.integers(0, 255, 3)
        before[i, top : top + 12, left : left + 12] = colour
        for k, done in enumerate(DONE):
            up = 18 if done else 0
            after[i, k, top - up : top - up + 12, left : left + 12] = colour
            after[i, k, : rng.integers(8, 20), left : left + 5] = 200
    return at.Attempts(before, after, tuple(f"lift the {'cube' if i % 2 else 'brick'}" for i in range(n)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detector")
    rows, monkeypatch = [], pytest.MonkeyPatch()
    monkeypatch.setattr(at, "read_attempts", lambda folder: toy())
    monkeypatch.setattr(sd, "IMAGE_PX", PX)
    for name, steps in (("a", 6), ("b", 6), ("long", 200)):
        config = sd.DetectorTrainConfig("attempts", str(folder / name), width=4, steps=steps, batch=16)
        sd.train(config, rows.append)
    monkeypatch.undo()
    halve(folder / "long", folder / "half")
    return folder, rows


def test_training_is_repeatable_and_the_file_tells_done_from_not(trained, small):
    folder, rows = trained
    assert rows[-1]["loss"] < 0.6
    assert (folder / "a").read_bytes()[-400:] == (folder / "b").read_bytes()[-400:]
    detector, fresh = sd.SuccessDetector({sd.NAME: folder / "half"}), toy(3, seed=5)
    for before, after, words in zip(fresh.before, fresh.after, fresh.words, strict=True):
        rated = detector(np.repeat(before[None], len(after), axis=0), after, words)
        assert auc(rated, DONE) > 0.9
        assert rated[4] == detector(before[None], after[4:5], words)[0]


def test_draws_are_half_done_and_wrong_words_or_order_are_not(monkeypatch, small):
    kept = toy()
    labels = sd.draw(kept, 400, np.random.default_rng(0))[3].numpy()
    assert 0.35 < labels.mean() < 0.5  # half, less what other words and the wrong order make of it
    monkeypatch.setattr(sd, "OTHER_WORDS", 1.0)
    _, _, words, labels = sd.draw(kept, 200, np.random.default_rng(0))
    other = np.array([kept.words[w].endswith("cube") for w in words])
    assert 0.1 < labels.numpy().mean() < 0.4  # those that drew words of the same thing stay what they were
    assert other.any()
    monkeypatch.setattr(sd, "OTHER_WORDS", 0.0)
    monkeypatch.setattr(sd, "TURNED_ROUND", 1.0)
    assert not sd.draw(kept, 50, np.random.default_rng(0))[3].any()


def test_wrong_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        sd.SuccessDetector({sd.NAME: tmp_path / "none"})
    save_tensors(tmp_path / "other", ResNet18(width=2).state_dict(), {"format": "deft-time-contrastive-1", "width": 2})
    with pytest.raises(ValueError, match="expected a deft-success-detector-1 file"):
        sd.SuccessDetector({sd.NAME: tmp_path / "other"})
    save_tensors(tmp_path / "cut", {}, {"format": sd.FORMAT, "width": 4})
    with pytest.raises(ValueError, match="keys are missing"):
        sd.SuccessDetector({sd.NAME: tmp_path / "cut"})


def test_one_command_makes_scenes_and_weights(tmp_path, capsys):
    pytest.importorskip("mujoco")
    from deft_env.sim import gl

    try:
        assert sd.main([str(tmp_path), "--scenes", "5", "--steps", "2"]) == 0
    except gl.RenderingUnavailableError as error:
        pytest.skip(str(error))
    made = tmp_path / f"{sd.NAME}.safetensors"
    assert str(made) in capsys.readouterr().out
    picture = np.zeros((1, 224, 224, 3), np.uint8)
    assert 0.0 < sd.SuccessDetector({sd.NAME: made})(picture, picture, "pick up the cup")[0] < 1.0


def test_shipped_weights_tell_done_from_not_in_fresh_attempts():
    pytest.importorskip("mujoco")
    assert sd.shipped().stat().st_size < 1e6
    assert sd.shipped().with_suffix(".md").is_file()
    from deft_env.sim import gl

    detector, rated, done = sd.SuccessDetector(), [], []
    for index in range(8):  # of another seed than the training's
        try:
            made = at.make_scene(1, index)
        except gl.RenderingUnavailableError as error:
            pytest.skip(str(error))
        if made is not None:
            before, after, words = made
            rated += detector(np.repeat(before[None], len(after), axis=0), after, words).tolist()
            done += DONE.tolist()
    assert len(rated) >= 40
    assert auc(np.array(rated), np.array(done)) > 0.9


def test_the_reward_keeps_the_contract_and_looks_at_both_pictures():
    reward = registries.make_reward(sd.NAME)
    assert reward.stand_in
    testing.check_reward(reward, lambda: registries.make_rig("landscape"), task="OpenDrawer")

    def frame(left):
        rgb = np.full((*FRAME_SHAPE, 3), 120, np.uint8)
        rgb[200:280, left : left + 80] = 250
        return Frame(rgb, np.ones(FRAME_SHAPE, np.float32), np.eye(3), np.eye(4))

    key = EpisodeKey("PickCup", "train", "eval", 0, 0)
    task = SimpleNamespace(name="PickCup", instruction="pick up the cup")
    outcome = Outcome(key, np.zeros(22), Status.COMPLETED, last_frame=lambda: frame(300))
    values = [reward(Frames([key], lambda i, left=left: frame(left)), [outcome], task)[0] for left in (300, 200)]
    assert values[0] != values[1]
    with pytest.raises(ValueError, match="no last picture"):
        reward(Frames([key], lambda i: frame(300)), [Outcome(key, np.zeros(22), Status.COMPLETED)], task)
