"""Labels of a toy problem: a bright square whose place is the contact and whose colour is the grasp."""

import numpy as np
import pytest

from deft_env.video.shards import Labels, write_manifest, write_shard


def make_toy_labels(n, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(60, 90, (n, 224, 224, 3), dtype=np.uint8)
    contacts = np.zeros((n, 5, 2), np.float32)
    pose = np.zeros((n, 45), np.float32)
    wrist = np.zeros((n, 3), np.float32)
    texts = []
    for i in range(n):
        x, y = rng.integers(30, 194, 2)
        kind = int(rng.integers(2))
        images[i, y - 20 : y + 20, x - 20 : x + 20] = (240, 60, 40) if kind else (40, 80, 240)
        contacts[i] = np.array([x, y]) / 224 + rng.normal(0, 0.02, (5, 2))
        pose[i] = 0.3 if kind else -0.3
        wrist[i] = [0, 0, 1.0 if kind else -0.5]
        texts.append("pick up the cup" if kind else "open the drawer")
    return Labels(
        images,
        contacts.clip(0, 1),
        wrist,
        pose,
        np.tile(np.array([0, 0, 224, 224], np.float32), (n, 1)),
        tuple(texts),
        tuple(f"toy/{seed}-{i}" for i in range(n)),
    )


@pytest.fixture
def toy_labels():
    return make_toy_labels


@pytest.fixture
def toy_folder(tmp_path):
    folder = tmp_path / "labels"
    folder.mkdir()
    write_shard(folder / "shard-00000.npz", make_toy_labels(40))
    write_shard(folder / "shard-00001.npz", make_toy_labels(24, seed=1))
    write_manifest(folder, labels=64)
    return folder
