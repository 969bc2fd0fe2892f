"""The learned prior end to end on a made-up frame, and Segment-Anything's adapter."""

from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from deft_env import grasp  # noqa: E402
from deft_env.episode import FRAME_SHAPE, EpisodeKey, Frame  # noqa: E402
from deft_env.prior import checkpoint, network, pinch, retarget, surface  # noqa: E402
from deft_env.prior.affordance import AffordancePrior, thickness_m  # noqa: E402
from deft_env.prior.prior import PriorFailureError  # noqa: E402
from deft_env.prior.segmentation import segment  # noqa: E402
from deft_env.rigs.rig import Frames  # noqa: E402

NOMINAL = np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, -1]])
K = np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]])


def frame(column=320, row=240, value=200, hole=False, size=30):
    """A camera 0.7 m straight above the table; a block 4 cm high."""
    T = np.eye(4)
    T[:3, :3] = [[0, -1, 0], [-1, 0, 0], [0, 0, -1]]
    T[:3, 3] = 0.45, 0.0, 0.7
    depth = np.full(FRAME_SHAPE, 0.7, np.float32)
    rgb = np.full((*FRAME_SHAPE, 3), 90, np.uint8)
    block = np.s_[row - size : row + size, column - size : column + size]
    depth[block], rgb[block] = 0.66, (value, 40, 40)
    if hole:
        depth[row - 5 : row + 5, column - 5 : column + 5] = 0
    return Frame(rgb, depth, K, T)


def frames(*pictures):
    return Frames([EpisodeKey("PickCup", "train", "eval", 0, i) for i in range(len(pictures))], lambda i: pictures[i])


TASK = SimpleNamespace(name="PickCup", instruction="pick up the cup", nominal_rotation=NOMINAL)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A network whose answer is known: heatmaps flat (contact in the middle), wrist and pose constant."""
    torch.manual_seed(0)
    f = network.AffordanceNetwork(network.PRESETS["small"])
    T = frame().T_base_cam
    wrist = retarget.wrist_axis_angle([0.1, -0.2, 0.3], T, NOMINAL)
    pose = retarget.pose_from_anatomical(np.tile([0.0, 0.0, 0.5], (15, 1))).ravel()
    with torch.no_grad():
        f.heatmap.weight.zero_()
        f.heatmap.bias.zero_()
        f.mlp[2].weight.zero_()
        f.mlp[2].bias.copy_(torch.tensor(np.r_[wrist, pose]))
    path = tmp_path_factory.mktemp("w") / "f.safetensors"
    checkpoint.save_network(path, f, checkpoint.Card(f.config, "stand-in-text", "random", {}))
    return {"affordance": path}


@pytest.mark.parametrize(("column", "row"), [(320, 240), (250, 300), (400, 200)])
def test_contact_wrist_and_fingers_arrive_in_the_robot_frame(weights, column, row):
    xi = AffordancePrior(weights, inside=False, pinches=False)(frames(frame(column, row)), TASK)[0]
    expected = [0.45 - (row - 240) * 0.66 / 600, -(column - 320) * 0.66 / 600, 0.04]
    assert np.allclose(xi[grasp.MU], expected, atol=2e-3)
    assert np.allclose(xi[grasp.WRIST], [0.1, -0.2, 0.3], atol=1e-4)
    joints = dict(zip(grasp.JOINT_NAMES, xi[grasp.FINGERS], strict=True))
    assert joints["index_forward"] == pytest.approx(0.5, abs=1e-4)
    assert joints["thumb_side"] == pytest.approx(0.0, abs=1e-4)
    assert np.allclose(grasp.executable(xi), xi)  # a pose that twelve motors can hold


def test_inside_moves_along_the_view_by_half_the_width(weights):
    picture = frame()
    out = AffordancePrior(weights, inside=False, pinches=False)(frames(picture), TASK)[0]
    inside = AffordancePrior(weights, pinches=False)(frames(picture), TASK)[0]
    half = thickness_m(segment(picture), picture)
    assert half == pytest.approx(2 * 60 * 0.66 / 600 / np.sqrt(12), rel=0.02)
    assert out[2] - inside[2] == pytest.approx(min(half, 0.035), abs=1e-3)


def test_a_pinch_brings_the_middle_between_the_pads_to_the_contact(weights, monkeypatch):
    monkeypatch.setattr(pinch, "WIDEST_M", 0.2)  # the constant pose of these weights counts as a pinch
    copied = AffordancePrior(weights, inside=False, pinches=False)(frames(frame()), TASK)[0]
    pinched = AffordancePrior(weights, inside=False, sized=False)(frames(frame()), TASK)[0]
    found = pinch.retarget_pinch(retarget.pose_from_anatomical(np.tile([0.0, 0.0, 0.5], (15, 1))))
    turn = grasp.wrist_to_rotation(pinched[grasp.WRIST], NOMINAL)
    assert np.allclose(pinched[grasp.MU] + turn @ found.middle_m, copied[grasp.MU], atol=1e-9)
    assert np.allclose(pinched[grasp.FINGERS], found.joints_rad, atol=1e-3)
    assert np.allclose(pinched[grasp.WRIST], copied[grasp.WRIST])


def test_a_hand_round_a_thin_thing_pinches_it_as_wide_as_it_is_seen(weights, monkeypatch):
    """The constant pose is opened by 31 mm, here too wide for a pinch; the block is 20 mm wide, then 66 mm."""
    monkeypatch.setattr(pinch, "WIDEST_M", 0.025)
    thin, wide = frame(size=9), frame(size=30)
    xi = AffordancePrior(weights)(frames(thin), TASK)[0]
    expected = pinch.robot_pinch(18 * 0.66 / 600)
    assert np.allclose(xi[grasp.FINGERS], expected.joints_rad, atol=0.02)
    turn = grasp.wrist_to_rotation(xi[grasp.WRIST], NOMINAL)
    held = xi[grasp.MU] + turn @ expected.middle_m
    assert held[2] == pytest.approx(0.04 - 9 * 0.66 / 600, abs=2e-3)  # half of its width under its top
    for picture, options in ((wide, {}), (thin, {"sized": False}), (thin, {"pinches": False})):
        copied = AffordancePrior(weights, **options)(frames(picture), TASK)[0]
        named = dict(zip(grasp.JOINT_NAMES, copied[grasp.FINGERS], strict=True))
        assert named["index_forward"] == pytest.approx(0.5, abs=1e-3)


def test_a_handle_that_is_seen_end_on_is_taken_at_its_axis(weights):
    """A bar 18 mm wide, 20 degrees from the view: half its width over the sine from its surface, not half its width."""
    picture = frame(size=0)
    lean = np.deg2rad(20.0)
    bar = np.s_[220:260, 311:329]
    picture.depth_m[bar] = 0.6 + (np.arange(-20, 20)[:, None] + 0.5) * 0.6 / 600 / np.tan(lean)
    assert (picture.depth_m[bar] < 0.69).all()
    taken = []
    for inside in (False, True):
        xi = AffordancePrior(weights, inside=inside)(frames(picture), TASK)[0]
        turn = grasp.wrist_to_rotation(xi[grasp.WRIST], NOMINAL)
        width = surface.seen_width_m(picture.depth_m, [320.0, 240.0], picture.depth_m < 0.69, 600.0, pinch.WIDEST_M)
        taken.append(xi[grasp.MU] + turn @ pinch.robot_pinch(width).middle_m)
    deeper = np.linalg.norm(taken[1] - taken[0])
    assert deeper > 0.02
    assert deeper == pytest.approx(0.5 * width / np.sin(lean), rel=0.3)


def test_rows_do_not_depend_on_the_batch(weights):
    pictures = [frame(320, 240), frame(300, 260, 120), frame(350, 220, 30)]
    prior = AffordancePrior(weights)
    whole = prior(frames(*pictures), TASK)
    single = np.concatenate([AffordancePrior(weights)(frames(p), TASK) for p in pictures])
    assert np.array_equal(whole, single)
    assert set(prior.latency_s) == {"segmentation", "network", "geometry"}


def test_hole_at_the_contact_is_bridged_and_no_object_is_said(weights):
    xi = AffordancePrior(weights, inside=False, pinches=False)(frames(frame(hole=True)), TASK)[0]
    assert xi[2] == pytest.approx(0.04, abs=2e-3)
    empty = frame()
    empty.depth_m[:] = 0.7
    with pytest.raises(PriorFailureError, match="nothing of at least") as caught:
        AffordancePrior(weights)(frames(frame(), empty), TASK)
    assert caught.value.index == 1


def test_missing_weights_and_wrong_options(weights, tmp_path):
    with pytest.raises(FileNotFoundError, match="deft train affordance"):
        AffordancePrior({"affordance": tmp_path / "none"})
    with pytest.raises(ValueError, match="--weights sam=PATH"):
        AffordancePrior(weights, segmentation="sam")
    with pytest.raises(ValueError, match="segmentation"):
        AffordancePrior(weights, segmentation="magic")


def test_an_instruction_never_seen_is_answered(weights):
    task = SimpleNamespace(name="PickCup", instruction="flabbergast the doohickey", nominal_rotation=NOMINAL)
    assert np.isfinite(AffordancePrior(weights)(frames(frame()), task)).all()


def test_segment_anything_adapter_runs_and_loads_strictly(tmp_path):
    """The real package with a tiny network of its own making: prompts go in, a mask of the picture's size comes out."""
    from deft_env import _torchvision
    from deft_env.prior.segment_anything import SegmentAnything

    try:
        _torchvision.import_torchvision()
    except ImportError:
        pytest.skip("torchvision is not installed")
    build = pytest.importorskip("segment_anything.build_sam")
    torch.manual_seed(0)
    tiny = build._build_sam(32, 2, 2, [1], None)
    path = tmp_path / "sam.pth"
    torch.save(tiny.state_dict(), path)
    sam = SegmentAnything(path, network=build._build_sam(32, 2, 2, [1], None))
    picture = frame()
    mask = sam.mask(picture.rgb, box=[280, 200, 360, 280])
    assert mask.shape == FRAME_SHAPE
    assert np.array_equal(mask, sam.mask(picture.rgb, box=[280, 200, 360, 280]))
    with pytest.raises(ValueError, match="exactly one"):
        sam.mask(picture.rgb)
    state = tiny.state_dict()
    state.pop("prompt_encoder.no_mask_embed.weight")
    torch.save(state, path)
    with pytest.raises(ValueError, match="no_mask_embed"):
        SegmentAnything(path, network=build._build_sam(32, 2, 2, [1], None))
    with pytest.raises(FileNotFoundError, match="sam_vit_b"):
        SegmentAnything(tmp_path / "none.pth")
