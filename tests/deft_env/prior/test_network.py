"""The network f: shapes, loss, matching, files, training, exact resume."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from scipy.optimize import linear_sum_assignment  # noqa: E402
from scipy.spatial.transform import Rotation  # noqa: E402

from deft_env import paper  # noqa: E402
from deft_env.prior import checkpoint, data, loss, network, text, train  # noqa: E402


@pytest.mark.parametrize("concat", [False, True])
def test_paper_sizes(concat):
    f = network.AffordanceNetwork(dataclasses.replace(network.PRESETS["paper"], concat=concat)).eval()
    with torch.inference_mode():
        p = f.predict(torch.rand(2, 3, 224, 224), torch.rand(2, 512))
    assert p.contacts.shape == (2, 5, 2)
    assert p.wrist.shape == (2, 3)
    assert p.pose.shape == (2, 45)
    assert p.heatmaps.shape == (2, 5, 56, 56)
    assert torch.allclose(p.heatmaps.sum((2, 3)), torch.ones(2, 5), atol=1e-5)
    widths = [m.out_channels for m in f.deconv if isinstance(m, torch.nn.ConvTranspose2d)]
    assert widths == [512, 256, 64]
    assert len(f.transformer.layers) == 6
    assert f.transformer.layers[0].self_attn.num_heads == 8
    assert f.mlp[0].out_features == 576
    assert f.mlp[2].out_features == 48


def test_small_is_a_few_megabytes():
    assert 4 * sum(p.numel() for p in network.AffordanceNetwork(network.PRESETS["small"]).parameters()) < 8e6


def test_spatial_softmax_finds_a_peak():
    logits = torch.full((1, 1, 8, 8), -20.0)
    logits[0, 0, 2, 5] = 20.0
    position, _ = network.spatial_softmax(logits)
    assert torch.allclose(position[0, 0], torch.tensor([5.5 / 8, 2.5 / 8]), atol=1e-5)


@pytest.mark.parametrize("k", [1, 3, 5, 7])
def test_matching_is_the_cheapest_assignment(k):
    rng = torch.Generator().manual_seed(k)
    p, t = torch.rand(20, k, 2, generator=rng), torch.rand(20, k, 2, generator=rng)
    matched = loss.match(p, t)
    for i in range(20):
        cost = ((p[i][:, None] - t[i][None]) ** 2).sum(-1).numpy()
        rows, columns = linear_sum_assignment(cost)
        assert ((p[i] - matched[i]) ** 2).sum().item() == pytest.approx(cost[rows, columns].sum(), rel=1e-5)


def test_loss_is_equation_1_and_does_not_see_the_order_of_points():
    p = torch.rand(3, 5, 2)
    shuffled = p[:, torch.randperm(5)]
    zero, _ = loss.affordance_loss(
        p, torch.ones(3, 3), torch.ones(3, 45), shuffled, torch.ones(3, 3), torch.ones(3, 45)
    )
    assert zero < 1e-5
    total, terms = loss.affordance_loss(
        p, torch.zeros(3, 3), torch.zeros(3, 45), p + 0.001, torch.ones(3, 3), torch.ones(3, 45)
    )
    expected = 1.0 * 0.001 * np.sqrt(10) + 0.1 * np.sqrt(3) + 0.1 * np.sqrt(45)
    assert total.item() == pytest.approx(expected, rel=1e-4)
    assert set(terms) == {"contact", "wrist", "pose"}


def test_near_reference_keeps_the_rotation_and_joins_both_signs():
    vectors = np.array([[0, 0, np.pi - 0.1], [0, 0, -np.pi + 0.1], [0.2, 0.1, 0.0], [0, 0, 0]])
    near = loss.near_reference(vectors, np.array([0, 0, np.pi]))
    assert np.allclose(Rotation.from_rotvec(near).as_matrix(), Rotation.from_rotvec(vectors).as_matrix(), atol=1e-9)
    assert np.linalg.norm(near[0] - near[1]) < 0.3


def test_errors_have_their_units(toy_labels):
    labels = toy_labels(4)
    e = loss.errors(labels.contacts, labels.wrist, labels.pose, labels.contacts, labels.wrist, labels.pose)
    assert all(np.allclose(v, 0, atol=1e-4) for v in e.values())
    e = loss.errors(
        labels.contacts + 0.1,
        labels.wrist,
        labels.pose,
        labels.contacts,
        (Rotation.from_rotvec([0, 0.2, 0]) * Rotation.from_rotvec(labels.wrist)).as_rotvec(),
        labels.pose,
    )
    assert np.allclose(e["contact_px"], 0.1 * np.sqrt(2) * 224, rtol=1e-3)
    assert np.allclose(e["wrist_deg"], np.rad2deg(0.2), rtol=1e-3)


def test_stand_in_text_tells_instructions_apart_and_is_named_so():
    encoder = text.StandInText()
    a, b, c = encoder(["pick up the cup", "Pick up the cup!", "open the drawer"])
    assert np.array_equal(a, b)
    assert abs(a @ c) < 0.7
    assert encoder.stand_in
    assert np.isfinite(encoder(["flibber the gizmo", "拿杯子"])).all()  # never seen, not even in this alphabet
    with pytest.raises(ValueError, match="instruction"):
        encoder([" "])


def test_clip_text_loads_strictly(tmp_path):
    """A random ViT-B-32 in the published layout: the tower runs, frozen, 512 numbers; foreign keys are refused."""
    from deft_env._torchvision import import_torchvision

    try:
        import_torchvision()
    except ImportError:
        pytest.skip("torchvision is not installed")
    open_clip = pytest.importorskip("open_clip")
    path = tmp_path / "clip.pt"
    model = open_clip.create_model("ViT-B-32", pretrained=None)
    state = model.state_dict()
    torch.save(state, path)
    encoder = text.ClipText(path)
    vectors = encoder(["pick up the cup", "open the drawer"])
    assert vectors.shape == (2, 512)
    with torch.inference_mode():
        theirs = model.eval().encode_text(open_clip.get_tokenizer("ViT-B-32")(["pick up the cup"]), normalize=True)
    assert np.allclose(vectors[0], theirs[0].numpy(), atol=1e-5)
    del state["logit_scale"]
    torch.save(state, path)
    with pytest.raises(ValueError, match="logit_scale"):
        text.ClipText(path)


def test_clip_weights_that_are_not_there_say_where_they_come_from(tmp_path):
    with pytest.raises(FileNotFoundError, match="openai/CLIP"):
        text.ClipText(tmp_path / "none.pt")
    with pytest.raises(ValueError, match="--weights clip="):
        text.make_text_encoder("clip-vit-b-32")


def test_augmentation_moves_contacts_with_the_picture(toy_labels):
    labels = toy_labels(16)
    plain = data.LabelSet(labels, text.StandInText(), 96, torch.device("cpu"))
    batch = plain.batch(np.arange(16), np.random.default_rng(1))
    red = (batch.images[:, 0] - batch.images[:, 2]).abs()  # the square differs in red and blue, tint does not move
    for i in range(16):
        weight = (red[i] > red[i].max() * 0.7).float()
        grid = (torch.arange(96) + 0.5) / 96
        centre = torch.stack([(weight.sum(0) * grid).sum(), (weight.sum(1) * grid).sum()]) / weight.sum()
        assert (centre - batch.contacts[i].mean(0)).norm() < 0.04


def test_training_stops_and_goes_on_exactly(toy_folder, tmp_path):
    base = {"data": (str(toy_folder),), "preset": "small", "epochs": 6, "batch": 16, "lr": 2e-3}
    base |= {"validation": 0.2, "validate_every": 2}
    whole = train.train(train.TrainConfig(out=str(tmp_path / "a"), **base))
    log = (tmp_path / "a" / "log.jsonl").read_text().splitlines()
    assert len(log) == 6
    assert (tmp_path / "a" / "overlay.png").stat().st_size > 1000

    class Stop(Exception):
        pass

    def stop(row):
        if row["epoch"] == 3:  # after the checkpoint of epoch 2: epoch 3 is done again
            raise Stop

    with pytest.raises(Stop):
        train.train(train.TrainConfig(out=str(tmp_path / "b"), **base), stop)
    rest = train.train(train.TrainConfig(out=str(tmp_path / "b"), **base))
    assert rest.resumed_at_epoch == 2
    a, _ = checkpoint.load_tensors(whole.weights)
    b, _ = checkpoint.load_tensors(rest.weights)
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert rest.figures == whole.figures
    with pytest.raises(ValueError, match="another configuration"):
        train.train(train.TrainConfig(out=str(tmp_path / "b"), **{**base, "seed": 1}))


def test_constant_answers_are_the_means(toy_labels):
    """A constant is exact where all labels are alike, and one by words where they are alike within their words."""
    from deft_env.prior.evaluate import constant_errors

    labels = toy_labels(12)
    same = labels.take(np.zeros(6, dtype=np.int64))
    assert max(constant_errors(same, same).values()) < 0.05
    texts = np.array(labels.instructions)
    other = int(np.flatnonzero(texts != texts[0])[0])
    two = labels.take(np.array([0, 0, other, other]))
    assert constant_errors(two, two)["wrist_deg"] == pytest.approx(np.rad2deg(0.75), abs=0.1)
    assert max(constant_errors(two, two, by_words=True).values()) < 0.05


def test_held_out_labels_are_those_that_training_leaves_out(toy_folder):
    from deft_env.prior.data import in_validation
    from deft_env.prior.evaluate import held_out
    from deft_env.video import shards

    clips = shards.read_folders([toy_folder]).clips
    found = held_out(None, [toy_folder], 0.3)
    assert found["labels"] == sum(in_validation(c, 0.3) for c in clips)
    assert found["constant by words"]["wrist_deg"] < 0.1 < found["network"]["wrist_deg"]
    with pytest.raises(ValueError, match="held out"):
        held_out(None, [toy_folder], 0.0)


def test_files_round_trip_and_wrong_ones_are_refused(tmp_path):
    f = network.AffordanceNetwork(network.PRESETS["small"]).eval()
    card = checkpoint.Card(f.config, "stand-in-text", "random", {"seed": 3})
    path = tmp_path / "f.safetensors"
    checkpoint.save_network(path, f, card)
    g, read = checkpoint.load_network(path)
    assert read == card
    x, t = torch.rand(1, 3, 96, 96), torch.rand(1, 512)
    with torch.inference_mode():
        assert all(torch.equal(u, v) for u, v in zip(f(x, t), g(x, t), strict=True))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="safetensors"):
        checkpoint.load_network(path)
    checkpoint.save_tensors(path, {"a": torch.zeros(2)}, {"format": "other"})
    with pytest.raises(ValueError, match="deft-affordance-1"):
        checkpoint.load_network(path)
    state = f.state_dict()
    del state["kind"]
    metadata = {"format": checkpoint.FORMAT, **checkpoint._card_json(card)}
    checkpoint.save_tensors(path, state, metadata)
    with pytest.raises(ValueError, match="kind"):
        checkpoint.load_network(path)


def test_trunk_weights_go_into_the_paper_preset_only():
    from deft_env.encoders.resnet import ResNet18

    trunk = ResNet18()
    f = network.AffordanceNetwork()
    f.load_trunk(trunk)
    assert torch.equal(f.trunk.layer3[0].conv1.weight, trunk.layer3[0].conv1.weight)
    with pytest.raises(ValueError, match="preset 'paper'"):
        network.AffordanceNetwork(network.PRESETS["small"]).load_trunk(trunk)
    assert train.TrainConfig(data=("x",), out="y").epochs == paper.AFFORDANCE_EPOCHS


@pytest.mark.slow
def test_training_learns_place_colour_and_words(toy_labels):
    """Steps on the toy problem beat the best constant answer by far, on labels that were not trained on."""
    config = train.TrainConfig(data=("x",), out="y", preset="small", lr=2e-3, batch=32, augment=False)
    trainer = train.Trainer(config, 120)
    labels = toy_labels(192, seed=7)
    some = data.LabelSet(labels, text.StandInText(), 96, trainer.device)
    for step in range(120):
        trainer.step(some, np.arange(32) + 32 * (step % 6))
    fresh = toy_labels(32, seed=8)
    got = trainer.validate(data.LabelSet(fresh, text.StandInText(), 96, trainer.device, some.reference))
    constant = np.linalg.norm(fresh.contacts.mean(1) - 0.5, axis=1).mean() * 224
    assert got["contact_px"] < 0.4 * constant
    assert got["wrist_deg"] < 20
    assert got["mano_joint_deg"] < 10


def test_speed_reports_both_loops():
    from deft_env.prior import speed

    got = speed.measure("small", batch=4, labels=8, steps=2, warmup=1)
    assert got.images_per_s > 0
    assert got.ratio == pytest.approx(got.images_per_s / got.plain_images_per_s)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_step_on_the_gpu_agrees_with_the_cpu(toy_labels):
    """bf16, channels-last and compiled: the same loss as the plain loop on the CPU, to bf16's precision."""
    losses = []
    for device in ("cpu", "cuda"):
        config = train.TrainConfig(data=("x",), out="y", preset="small", augment=False, device=device)
        trainer = train.Trainer(config, 10)
        some = data.LabelSet(toy_labels(16), text.StandInText(), 96, trainer.device)
        losses.append(float(trainer.step(some, np.arange(16))["loss"]))
    assert losses[0] == pytest.approx(losses[1], rel=0.03)
