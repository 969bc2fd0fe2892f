"""Laws of the retargeting: what the human hand does, the robot hand does."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csc_matrix
from scipy.spatial.transform import Rotation

from deft_env import grasp
from deft_env.prior import mano, retarget

ANGLES = st.floats(-1.2, 1.2)
NOMINAL = np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, -1]])


def joint(values, name):
    return values[..., grasp.JOINT_NAMES.index(name)]


def pose(**angles):
    """MANO pose with (twist, spread, bend) at joints named like index0, thumb2."""
    out = np.zeros((15, 3))
    for name, value in angles.items():
        out[mano.FIRST_JOINT[name[:-1]] - 1 + int(name[-1])] = value
    return retarget.pose_from_anatomical(out).reshape(45)


def test_flat_hand_is_the_zero_pose():
    assert np.allclose(retarget.retarget_fingers(np.zeros(45)), 0.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(ANGLES, ANGLES, ANGLES), min_size=15, max_size=15))
def test_anatomical_angles_and_poses_are_inverse(rows):
    angles = np.array(rows)
    assert np.allclose(retarget.anatomical_angles(retarget.pose_from_anatomical(angles)), angles, atol=1e-8)


@pytest.mark.parametrize("finger", grasp.FINGER_NAMES)
@pytest.mark.parametrize(("segment", "name"), [(0, "forward"), (1, "pip"), (2, "dip")])
def test_flexion_stays_flexion_of_the_same_joint(finger, segment, name):
    out = retarget.retarget_fingers(pose(**{f"{finger}{segment}": (0.0, 0.0, 0.6)}))
    expected = np.zeros(16)
    expected[grasp.JOINT_NAMES.index(f"{finger}_{name}")] = 0.6
    assert np.allclose(out, expected, atol=1e-9)


@pytest.mark.parametrize("finger", grasp.FINGER_NAMES)
def test_flexion_bends_the_template_towards_the_palm(finger):
    """Independent of any Euler convention: the fingertip of the template hand moves to the side of the palm (-y)."""
    rotvec = pose(**{f"{finger}0": (0.0, 0.0, 0.5)}).reshape(15, 3)[mano.FIRST_JOINT[finger] - 1]
    first = mano.FIRST_JOINT[finger]
    bone = mano.TEMPLATE_JOINTS_M[first + 1] - mano.TEMPLATE_JOINTS_M[first]
    assert (Rotation.from_rotvec(rotvec).apply(bone) - bone)[1] < -0.005


def test_spread_of_the_template_goes_to_the_thumb_side():
    rotvec = pose(index0=(0.0, 0.3, 0.0)).reshape(15, 3)[0]
    bone = mano.TEMPLATE_JOINTS_M[2] - mano.TEMPLATE_JOINTS_M[1]
    assert (Rotation.from_rotvec(rotvec).apply(bone) - bone)[2] > 0.005


def test_spread_and_flexion_keep_their_side_on_the_simulated_hand():
    """The whole way: a hand that spreads its index and ring apart does so as a robot; flexion goes to its palm."""
    mujoco = pytest.importorskip("mujoco")
    from deft_env.sim import hand, names

    spec = mujoco.MjSpec()
    hand.add_hand(spec, spec.worldbody.add_body())
    model = spec.compile()

    def tips(human):
        data = mujoco.MjData(model)
        for name, value in zip(names.HAND_JOINTS, retarget.retarget_fingers(human), strict=True):
            data.qpos[model.joint(name).qposadr[0]] = value
        mujoco.mj_kinematics(model, data)
        return {f: data.site(names.tip_site(f)).xpos.copy() for f in grasp.FINGER_NAMES}

    flat, spread = tips(np.zeros(45)), tips(pose(index0=(0, 0.3, 0), ring0=(0, -0.3, 0)))
    gap = [np.linalg.norm(t["index"] - t["ring"]) for t in (flat, spread)]
    assert gap[1] > gap[0] + 0.03
    bent = tips(pose(index0=(0, 0, 0.6), thumb0=(0, 0, 0.4)))
    assert bent["index"][0] > flat["index"][0] + 0.02  # fingers flex to +x, the thumb meets them
    assert bent["thumb"][0] < flat["thumb"][0] - 0.02


def test_twist_is_dropped_and_angles_are_clamped():
    assert np.allclose(retarget.retarget_fingers(pose(middle0=(0.5, 0.0, 0.0))), 0.0, atol=1e-12)
    out = retarget.retarget_fingers(pose(ring1=(0, 0, 2.5), index0=(0, 1.2, 0)))
    assert joint(out, "ring_pip") == grasp.FINGER_RANGES_RAD["pip"][1]
    assert np.all(out <= grasp.HIGH[grasp.FINGERS])
    assert np.all(out >= grasp.LOW[grasp.FINGERS])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31))
def test_little_finger_has_no_effect(seed):
    rng = np.random.default_rng(seed)
    a = rng.normal(0, 0.4, (15, 3))
    b = a.copy()
    first = mano.FIRST_JOINT["little"] - 1
    b[first : first + 3] = rng.normal(0, 0.4, (3, 3))
    assert np.array_equal(retarget.retarget_fingers(a), retarget.retarget_fingers(b))
    b[first - 1] += 0.3
    assert not np.array_equal(retarget.retarget_fingers(a, clamp=False), retarget.retarget_fingers(b, clamp=False))


@settings(max_examples=30, deadline=None)
@given(st.tuples(ANGLES, ANGLES, ANGLES), st.integers(0, 2**31))
def test_wrist_rotation_has_no_effect_on_the_fingers(wrist, seed):
    """Fingers of a hand that is turned as a whole, measured from its joint frames, are those of the hand at rest."""
    angles = np.random.default_rng(seed).uniform(-0.3, 0.3, (15, 3))
    local = retarget.pose_from_anatomical(angles)
    turn = Rotation.from_rotvec(wrist)
    # World rotations of every joint under the turned wrist, then back to local ones: what a detector does.
    world = [turn]
    for j in range(1, 16):
        world.append(world[mano.PARENTS[j]] * Rotation.from_rotvec(local[j - 1]))
    recovered = [(world[mano.PARENTS[j]].inv() * world[j]).as_rotvec() for j in range(1, 16)]
    assert np.allclose(retarget.retarget_fingers(np.array(recovered)), retarget.retarget_fingers(local), atol=1e-8)


def test_relative_pose_needs_the_mean_and_adds_it():
    with pytest.raises(ValueError, match="MANO_RIGHT"):
        retarget.retarget_fingers(np.zeros(45), relative=True)
    mean = pose(index1=(0.0, 0.0, 0.3))
    model = mano.HandModel(mano.TEMPLATE_JOINTS_M, mean, "test")
    assert joint(retarget.retarget_fingers(np.zeros(45), relative=True, model=model), "index_pip") == pytest.approx(0.3)


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.floats(-1.3, 1.3), st.floats(-1.3, 1.3), st.floats(-1.3, 1.3)), st.integers(0, 2**31))
def test_wrist_round_trip(angles, seed):
    T = np.eye(4)
    T[:3, :3] = Rotation.random(random_state=seed % 2**31).as_matrix()
    vector = retarget.wrist_axis_angle(angles, T, NOMINAL)
    wrist = retarget.retarget_wrist(vector, T, NOMINAL)
    assert np.allclose(wrist.angles_rad, angles, atol=1e-6)
    assert wrist.turned_back_rad == 0.0


def test_wrist_constant_is_a_rotation_that_maps_fingers_to_fingers():
    R = retarget.R_MANO_HAND
    assert np.allclose(R @ R.T, np.eye(3))
    assert np.linalg.det(R) == pytest.approx(1.0)
    fingers = mano.TEMPLATE_JOINTS_M[mano.FIRST_JOINT["middle"]]
    assert R[:, 2] @ fingers > 0.08  # hand z runs along the fingers
    assert R[:, 1] @ (mano.TEMPLATE_JOINTS_M[1] - mano.TEMPLATE_JOINTS_M[10]) > 0.03  # hand y from ring to index


def test_palm_down_human_hand_is_a_palm_down_robot_hand():
    """A camera straight above, picture up = robot +x: a flat right hand, palm to the table, fingers to picture up."""
    R_base_cam = np.array([[0.0, -1, 0], [-1, 0, 0], [0, 0, -1]])
    T = np.eye(4)
    T[:3, :3] = R_base_cam
    R_base_mano = np.array(
        [[-1.0, 0, 0], [0, 0, 1], [0, 1, 0]]
    )  # fingers (-x) to base +x, back (+y) up, thumb (+z) to +y
    vector = Rotation.from_matrix(R_base_cam.T @ R_base_mano).as_rotvec()
    R = R_base_cam @ Rotation.from_rotvec(vector).as_matrix() @ retarget.R_MANO_HAND
    assert np.allclose(R[:, 2], [1, 0, 0])  # fingers forward
    assert np.allclose(R[:, 0], [0, 0, -1])  # they flex towards the table
    assert np.allclose(R[:, 1], [0, 1, 0])  # the index on the left, where a right hand's thumb is


def test_extreme_wrist_is_turned_back_and_said():
    vector = retarget.wrist_axis_angle([0.0, 0.0, 1.4], np.eye(4), NOMINAL)
    far = Rotation.from_rotvec(vector).as_matrix() @ (
        retarget.R_MANO_HAND @ Rotation.from_euler("y", 1.0).as_matrix() @ retarget.R_MANO_HAND.T
    )
    for extra in (far, far @ far, far @ far @ far):
        wrist = retarget.retarget_wrist(Rotation.from_matrix(extra).as_rotvec(), np.eye(4), NOMINAL)
        assert np.all(np.abs(wrist.angles_rad) <= grasp.WRIST_LIMIT_RAD)
    half_turn = retarget.retarget_wrist(
        Rotation.from_matrix(
            Rotation.from_euler("z", np.pi).as_matrix() @ NOMINAL @ retarget.R_MANO_HAND.T
        ).as_rotvec(),
        np.eye(4),
        NOMINAL,
    )
    assert half_turn.turned_back_rad == pytest.approx(np.pi - grasp.WRIST_LIMIT_RAD, abs=1e-3)


@pytest.mark.parametrize("bad", [np.zeros(44), np.zeros((15, 2)), np.full(45, np.nan)])
def test_bad_poses_are_refused(bad):
    with pytest.raises(ValueError, match="pose"):
        retarget.retarget_fingers(bad)


def write_mano(path, *, left=False, **extra):
    rng = np.random.default_rng(0)
    vertices = rng.normal(0, 0.01, (778, 3))
    vertices[:16] = mano.TEMPLATE_JOINTS_M * ([-1, 1, 1] if left else [1, 1, 1])
    regressor = csc_matrix(np.eye(16, 778))
    data = {
        "v_template": vertices,
        "J_regressor": regressor,
        "hands_mean": np.full(45, 0.1),
        "bs_type": "lrotmin",
        **extra,
    }
    path.write_bytes(pickle.dumps(data, protocol=2))
    return path


def test_reads_a_users_mano_file(tmp_path):
    model = mano.load_hand_model(write_mano(tmp_path / "MANO_RIGHT.pkl"))
    assert np.allclose(model.joints_m, mano.TEMPLATE_JOINTS_M)
    assert np.allclose(model.mean_pose, 0.1)


def test_refuses_left_hands_code_and_other_files(tmp_path):
    with pytest.raises(ValueError, match="left hand"):
        mano.load_hand_model(write_mano(tmp_path / "left.pkl", left=True))
    with pytest.raises(FileNotFoundError, match=r"mano\.is\.tue"):
        mano.load_hand_model(tmp_path / "none.pkl")

    class Evil:
        def __reduce__(self):
            return (__import__("os").system, ("touch " + str(tmp_path / "owned"),))

    with pytest.raises(ValueError, match="refused"):
        mano.load_hand_model(write_mano(tmp_path / "evil.pkl", extra=Evil()))
    assert not (tmp_path / "owned").exists()
    (tmp_path / "x.pkl").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(ValueError, match="v_template"):
        mano.load_hand_model(tmp_path / "x.pkl")


def test_agrees_with_manotorch(tmp_path):
    """Against the real axis layer, on an invented asset; manotorch is GPL and not installed by us."""
    axis = pytest.importorskip("manotorch.axislayer")
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    theta = rng.normal(0, 0.3, (15, 3))
    layer = axis.AxisAdaptiveLayer(side="right")
    joints = torch.tensor(mano.TEMPLATE_JOINTS_M, dtype=torch.float32)[None]
    transforms = torch.eye(4).repeat(1, 16, 1, 1)
    transforms[0, :, :3, 3] = joints[0]
    keypoints = torch.zeros(1, 21, 3)
    keypoints[0, [0, 5, 6, 7, 9, 10, 11, 17, 18, 19, 13, 14, 15, 1, 2, 3]] = joints[0]
    back, up, left = layer(keypoints, transforms)
    frames = torch.stack([back, up, left], -1)[0].numpy().astype(np.float64)
    frames = frames[-15:]
    ours = retarget.anatomical_angles(theta)
    assert np.allclose(retarget.anatomical_angles(theta, frames), ours, atol=1e-4)


@pytest.mark.parametrize("protocol", [0, 2])
def test_reads_the_released_layout_with_chumpy_nodes_and_old_scipy(tmp_path, monkeypatch, protocol):
    """The released file holds a chumpy node and an old scipy matrix; neither library is needed to read the rest."""
    import sys
    import types

    class Ch:
        pass

    class Select(Ch):
        pass

    class Matrix:
        pass

    for module, cls, name in (("chumpy.ch", Ch, "Ch"), ("chumpy.reordering", Select, "Select"),
                              ("scipy.sparse.csc", Matrix, "csc_matrix")):  # fmt: skip
        made = types.ModuleType(module)
        cls.__module__, cls.__qualname__, cls.__name__ = module, name, name
        setattr(made, name, cls)
        monkeypatch.setitem(sys.modules, module, made)
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    node, base, matrix = Select(), Ch(), Matrix()
    base.x = np.zeros((778, 3, 20))
    node.a, node.idxs, node.preferred_shape = base, np.arange(23340), (778, 3, 10)
    sparse = csc_matrix(np.eye(16, 778))
    for key in ("data", "indices", "indptr", "_shape"):
        setattr(matrix, key, getattr(sparse, key))
    path = write_mano(tmp_path / "MANO_RIGHT.pkl")
    data = mano.load_mano_pickle(path)
    vertices = np.zeros((778, 3))
    vertices[:16] = mano.TEMPLATE_JOINTS_M
    content = {"v_template": vertices, "J_regressor": matrix, "hands_mean": np.zeros(45), "shapedirs": node}
    assert set(data) >= {"v_template"}
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    assert np.allclose(mano.load_hand_model(path).joints_m, mano.TEMPLATE_JOINTS_M)
