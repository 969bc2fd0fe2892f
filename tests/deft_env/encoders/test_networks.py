"""ResNet18 without torchvision, its checkpoints, and the same bits whatever the batch."""

import os

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from deft_env.encoders import checkpoints, inference  # noqa: E402
from deft_env.encoders.networks import R3MEncoder, RandomResNet18Encoder, ResNet18Encoder  # noqa: E402
from deft_env.encoders.resnet import ResNet18  # noqa: E402


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def trunk():
    torch.manual_seed(0)
    network = ResNet18()
    for module in network.modules():  # running statistics that are not the identity, or a swap would not show
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.8, 1.2)
    return network.eval()


def r3m_file(path, network, **extra):
    state = {f"module.convnet.{k}": v for k, v in network.state_dict().items()}
    state["module.lang_enc.model.embeddings.word_embeddings.weight"] = torch.zeros(3, 4)
    state["module.lang_rew.pred.0.weight"] = torch.zeros(2, 2)
    torch.save({"r3m": {**state, **extra}, "global_step": 7}, path)
    return path


def test_keys_and_outputs_are_torchvisions(trunk, images):
    from deft_env._torchvision import import_torchvision

    try:
        torchvision = import_torchvision()
    except ImportError:
        pytest.skip("torchvision is not installed")
    theirs = torchvision.models.resnet18(weights=None)
    theirs.fc = torch.nn.Identity()
    assert len(trunk.state_dict()) == 120
    theirs.load_state_dict(trunk.state_dict(), strict=True)
    x = inference.normalise(torch.from_numpy(images))
    with torch.inference_mode():
        assert torch.allclose(theirs.eval()(x), trunk(x), atol=1e-4, rtol=1e-5)
        assert trunk.spatial(x).shape == (3, 512, 7, 7)


def test_r3m_checkpoint(tmp_path, trunk, images):
    encoder = R3MEncoder({"r3m": r3m_file(tmp_path / "model.pt", trunk)})
    with torch.inference_mode():
        expected = trunk.pooled(inference.normalise(torch.from_numpy(images[:1]))).double().numpy()
    assert np.allclose(encoder(images[:1]), expected, atol=1e-5)
    assert encoder.dim == 512
    assert not encoder.stand_in


def test_imagenet_checkpoint_drops_the_classifier(tmp_path, trunk, images):
    torch.manual_seed(1)
    full = ResNet18(classes=1000)
    torch.save(full.state_dict(), tmp_path / "r.pth")
    encoder = ResNet18Encoder({"resnet18": tmp_path / "r.pth"})
    full.eval()
    with torch.inference_mode():
        expected = full.pooled(inference.normalise(torch.from_numpy(images[:1]))).numpy()
    assert np.allclose(encoder(images[:1]), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["r3m", "resnet18"])
def test_missing_weights_say_where_they_come_from(name, tmp_path):
    make = {"r3m": R3MEncoder, "resnet18": ResNet18Encoder}[name]
    with pytest.raises(ValueError, match=rf"--weights {name}=PATH.*https://"):
        make({})
    with pytest.raises(FileNotFoundError, match="https://"):
        make({name: tmp_path / "none.pt"})


def test_wrong_checkpoints_are_refused(tmp_path, trunk):
    bad = tmp_path / "bad.pt"
    r3m_file(bad, trunk, **{"module.convnet.extra.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match="unknown"):
        checkpoints.load_r3m(bad)
    r3m_file(bad, trunk, **{"module.other": torch.zeros(1)})
    with pytest.raises(ValueError, match="unknown key"):
        checkpoints.load_r3m(bad)
    r3m_file(bad, trunk, **{"module.convnet.bn1.weight": torch.zeros(7)})
    with pytest.raises(ValueError, match=r"bn1\.weight: expected"):
        checkpoints.load_r3m(bad)
    r3m_file(bad, trunk, **{"module.convnet.bn1.weight": torch.full((64,), torch.nan)})
    with pytest.raises(ValueError, match="finite"):
        checkpoints.load_r3m(bad)
    torch.save({"state_dict": {}}, bad)
    with pytest.raises(ValueError, match="'r3m'"):
        checkpoints.load_r3m(bad)
    torch.save(trunk.state_dict(), bad)
    with pytest.raises(ValueError, match=r"fc\."):
        checkpoints.load_imagenet(bad)
    bad.write_bytes(bad.read_bytes()[:1000])
    with pytest.raises(ValueError, match="no checkpoint"):
        checkpoints.load_imagenet(bad)


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_a_checkpoint_that_runs_code_is_refused(tmp_path):
    torch.save({"r3m": Evil(tmp_path / "ran")}, tmp_path / "evil.pt")
    with pytest.raises(ValueError, match="no checkpoint of plain tensors"):
        checkpoints.load_r3m(tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


def test_same_bits_for_any_batch_and_thread_count(images):
    whole = RandomResNet18Encoder()(images)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        single = np.concatenate([RandomResNet18Encoder()(images[i : i + 1]) for i in (2, 0, 1)])[[1, 2, 0]]
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(whole, single)
    assert np.abs(whole[0] - whole[1]).max() > 1e-3


def test_cache_returns_the_same_and_seed_leaves_the_global_generator(images):
    state = torch.get_rng_state()
    encoder = RandomResNet18Encoder(seed=3)
    assert torch.equal(state, torch.get_rng_state())
    first = encoder(images)
    assert np.array_equal(first, encoder(images))
    assert encoder._cache.hits == 3
    assert np.array_equal(encoder(images[[1, 1]]), first[[1, 1]])
    assert encoder(images[:0]).shape == (0, 512)


def test_other_sizes_are_resized_and_cropped(images):
    wide = np.zeros((480, 640, 3), np.uint8)
    wide[:, 320:] = 255
    assert inference.to_input(wide).shape == (224, 224, 3)
    assert inference.to_input(wide)[:, :100].max() == 0
    assert np.array_equal(inference.to_input(images[0]), images[0])


def test_torchvision_operators_that_are_missing_still_raise():
    from deft_env import _torchvision

    try:
        torchvision = _torchvision.import_torchvision()
    except ImportError:
        pytest.skip("torchvision is not installed")
    if _torchvision.operators_work():
        pytest.skip("this torchvision fits its torch")
    with pytest.raises((RuntimeError, NotImplementedError)):
        torchvision.ops.nms(torch.rand(3, 4), torch.rand(3), 0.5)


def test_inference_runs_on_one_thread_and_gives_the_others_back():
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with inference.single_thread():
            assert torch.get_num_threads() == 1
            assert torch.is_inference_mode_enabled()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
