"""Which thing the words mean: learned from clips, and used where several things stand on the table."""

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from deft_env.episode import FRAME_SHAPE, Frame
from deft_env.prior import checkpoint, choice
from deft_env.prior.affordance import AffordancePrior
from deft_env.prior.segmentation import segments

WORDS = ("pick up the cup", "squeeze the lemon")
COLOURS = ((200, 40, 40), (230, 210, 60))


def crop(kind, rng, side=96):
    image = rng.integers(70, 100, (side, side, 3), dtype=np.uint8)
    image[side // 4 : -side // 4, side // 4 : -side // 4] = COLOURS[kind]
    return image


def toy(n=24):
    """Each clip shows a red and a yellow thing; the words say which one is touched."""
    rng = np.random.default_rng(0)
    images, clip, right, words = [], [], [], []
    for i in range(n):
        wanted = i % 2
        for kind in (wanted, 1 - wanted):
            images.append(crop(kind, rng))
            clip.append(i)
            right.append(kind == wanted)
        words.append(WORDS[wanted])
    return choice.Choices(np.array(images), np.array(clip), np.array(right), tuple(words))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("c") / "choice.safetensors"
    return choice.train_choice(toy(), choice.ChoiceTrainConfig(str(path), width=4, dim=16, steps=40, batch=8))


def test_loss_prefers_the_touched_thing_and_leaves_the_same_words_out():
    clip, right, words = np.array([0, 0, 1, 2]), np.array([True, False, True, True]), ["a", "b", "a"]
    fits = torch.tensor([[1.0, -1, -1, 1], [-1, -1, 1, -1], [1, -1, -1, 1]])
    good = choice.loss(5 * fits, clip, right, words)
    assert good < 0.01  # crops 0 and 3, of the same words, are no mistakes of each other
    assert good < choice.loss(-5 * fits, clip, right, words)
    other = 5 * fits.clone()
    other[0, 1] = 9.0  # the untouched thing of clip 0
    assert choice.loss(other, clip, right, words) > 1.0


def test_words_pick_the_thing_in_new_pictures(trained):
    rng = np.random.default_rng(7)
    pictures = [crop(0, rng), crop(1, rng)]
    chooser = choice.Choice({"choice": trained})
    assert [int(chooser.scores(pictures, w).argmax()) for w in WORDS] == [0, 1]
    assert chooser.scores(pictures[:1], WORDS[0])[0] == chooser.scores(pictures, WORDS[0])[0]


def test_a_crop_is_scored_by_its_middle_whichever_way_round_it_lies(trained):
    chooser, rng = choice.Choice({"choice": trained}), np.random.default_rng(3)
    image = rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)
    score = chooser.scores([image], WORDS[0])[0]
    assert chooser.scores([image[:, ::-1]], WORDS[0])[0] == pytest.approx(score, abs=1e-4)
    assert abs(chooser.scores([image[::-1]], WORDS[0])[0] - score) > 1e-3
    for edge, same in ((8, True), (14, False)):
        framed = np.zeros_like(image)
        framed[edge:-edge, edge:-edge] = image[edge:-edge, edge:-edge]
        assert bool(abs(chooser.scores([framed], WORDS[0])[0] - score) < 1e-4) is same


def scene():
    """A large red and a smaller yellow block on a table, from straight above."""
    T = np.eye(4)
    T[:3, :3] = [[0, -1, 0], [-1, 0, 0], [0, 0, -1]]
    T[:3, 3] = 0.45, 0.0, 0.7
    depth = np.full(FRAME_SHAPE, 0.7, np.float32)
    rgb = np.full((*FRAME_SHAPE, 3), 85, np.uint8)
    for kind, (row, column, half) in enumerate(((240, 240, 30), (240, 400, 20))):
        block = np.s_[row - half : row + half, column - half : column + half]
        depth[block], rgb[block] = 0.66, COLOURS[kind]
    return Frame(rgb, depth, np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]]), T)


def test_the_prior_takes_what_is_meant_not_what_is_largest(trained):
    prior = AffordancePrior({"choice": trained})
    frame = scene()
    assert len(segments(frame)) == 2
    assert prior.find(frame, WORDS[0]).box[0] < 320 < prior.find(frame, WORDS[1]).box[0]


def test_wrong_files_are_refused(tmp_path, trained):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        choice.Choice({"choice": tmp_path / "none"})
    path = tmp_path / "x.safetensors"
    tensors, data = checkpoint.load_tensors(trained)
    checkpoint.save_tensors(path, tensors, {**data, "format": "other"})
    with pytest.raises(ValueError, match="expected a deft-choice-1"):
        choice.Choice({"choice": path})
    tensors.pop("log_scale")
    checkpoint.save_tensors(path, tensors, data)
    with pytest.raises(ValueError, match="log_scale"):
        choice.Choice({"choice": path})
    with pytest.raises(ValueError, match="at least 4"):
        choice.train_choice(
            choice.Choices(np.zeros((1, 96, 96, 3), np.uint8), np.zeros(1, np.int64), np.ones(1, bool), ("a",)),
            choice.ChoiceTrainConfig("x"),
        )


def test_augmentation_zooms_by_the_stated_range_and_moves_each_crop_on_its_own():
    images = np.zeros((24, 96, 96, 3), np.uint8)
    images[:, 32:64, 32:64] = 255
    out = choice._augmented(images, np.random.default_rng(0)).numpy()
    assert out.shape == (24, 3, 96, 96)
    bright = out[:, 0] > 0.5 * (out[:, 0].max(axis=(1, 2)) + out[:, 0].min(axis=(1, 2)))[:, None, None]
    side = np.sqrt(bright.sum(axis=(1, 2)))
    whole = ~(bright[:, [0, -1]].any(axis=(1, 2)) | bright[:, :, [0, -1]].any(axis=(1, 2)))
    assert whole.sum() > 6
    assert (side[whole] > 31 / choice.ZOOM[1]).all()
    assert (side[whole] < 33 / choice.ZOOM[0]).all()
    assert np.ptp(side[whole]) > 10
    centres = np.array([np.argwhere(b).mean(axis=0) for b in bright[whole]])
    assert np.ptp(centres, axis=0).min() > 10
