"""The camera driver through the vendor's SDK: live software device, played recording, and every refusal."""

import numpy as np
import pytest

try:
    from deft_env.rigs.real.camera_source import load_sdk

    load_sdk()
except ImportError as error:
    pytest.skip(f"needs the extra 'hardware' (pyrealsense2): {error}", allow_module_level=True)

from deft_env.episode import Frame
from deft_env.rigs.real.camera import CameraConfig, RealSenseCamera
from deft_env.rigs.real.camera.checks import Taken
from deft_env.rigs.real.camera_source import (
    CameraBlind,
    CameraError,
    CameraFrozen,
    CameraMissing,
    CameraStale,
    CameraTimeout,
    PipelineSource,
)
from deft_mocks.realsense import DEPTH_SCALE_M, STEREO_NOISE, MockRealSense, nominal_K, record

QUIET = CameraConfig(warmup=0, timeout_s=0.3, refuse_identical=False)
POSE = np.array([[0.0, -1, 0, 0.4], [-1, 0, 0, 0.1], [0, 0, -1, 0.9], [0, 0, 0, 1]])


class Scene:
    """A red table at 0.6 m with a green block at 0.5 m, a row of holes, and a counter in the blue channel."""

    def __init__(self) -> None:
        self.rendered = 0

    def __call__(self) -> tuple[np.ndarray, np.ndarray]:
        self.rendered += 1
        rgb = np.zeros((480, 640, 3), np.uint8)
        rgb[..., 0] = 200
        rgb[..., 2] = self.rendered
        rgb[200:280, 300:340] = (0, 180, self.rendered)
        depth = np.full((480, 640), 0.6)
        depth[200:280, 300:340] = 0.5
        depth[:5] = 0.0
        return rgb, depth


def test_a_frame_is_what_was_rendered() -> None:
    K = nominal_K()
    K[0, 0], K[1, 2] = 612.5, 243.0
    mock = MockRealSense(Scene(), K=K, noise=False)
    with RealSenseCamera(QUIET, POSE, mock.source()) as camera:
        frame = camera.capture()
        assert camera.stream.serial == "000000000001"
    assert isinstance(frame, Frame)
    rgb, depth = Scene()()
    np.testing.assert_array_equal(frame.rgb[..., :2], rgb[..., :2])
    np.testing.assert_allclose(frame.depth_m, depth, atol=DEPTH_SCALE_M / 2 + 1e-6)
    assert np.all(frame.depth_m[:5] == 0)
    np.testing.assert_allclose(frame.K, K, atol=1e-4)
    np.testing.assert_array_equal(frame.T_base_cam, POSE)


def test_a_pixel_means_the_same_point_to_the_sdk_and_to_a_frame() -> None:
    """Column 100 of the SDK is the centre of pixel 100, which is 100.5 from the picture's edge."""
    import pyrealsense2 as rs

    mock = MockRealSense(Scene())
    with RealSenseCamera(QUIET, POSE, mock.source()) as camera:
        frame = camera.capture()
    lens = mock._color_profile.as_video_stream_profile().get_intrinsics()
    theirs = rs.rs2_deproject_pixel_to_point(lens, [100.0, 200.0], 0.6)
    ours = 0.6 * np.linalg.solve(frame.K, [100.5, 200.5, 1.0])
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_depth_is_aligned_to_colour() -> None:
    K_depth = nominal_K()
    K_depth[0, 0] = K_depth[1, 1] = 382.0
    mock = MockRealSense(Scene(), K_depth=K_depth, depth_to_color_m=(0.015, 0.0, 0.0), noise=False)
    with RealSenseCamera(QUIET, POSE, mock.source()) as camera:
        depth = camera.capture().depth_m
    columns = np.flatnonzero(np.abs(depth[240] - 0.5) < 0.01)

    def column(of_depth: float) -> float:
        return 320 + 615.0 * ((of_depth - 320) / 382.0 + 0.015 / 0.5)

    assert columns.min() == pytest.approx(column(299.5), abs=1.5)
    assert columns.max() == pytest.approx(column(339.5), abs=1.5)


class Queued:
    """A source that, like a long USB queue, hands out what piled up before anything new."""

    def __init__(self, inner) -> None:
        self.inner, self.queue = inner, []

    def start(self):
        return self.inner.start()

    def wait(self, timeout_s: float):
        return self.queue.pop(0) if self.queue else self.inner.wait(timeout_s)

    def drain(self) -> int:
        count = len(self.queue) + self.inner.drain()
        self.queue.clear()
        return count

    def stop(self) -> None:
        self.queue.clear()
        self.inner.stop()


def test_every_capture_is_rendered_after_it_was_asked_for() -> None:
    scene = Scene()
    source = Queued(MockRealSense(scene, noise=False).source())
    with RealSenseCamera(QUIET, POSE, source) as camera:
        for _ in range(3):
            frames = [source.inner.wait(0.1) for _ in range(2)]
            for one in frames:
                one.keep()
            source.queue += frames
            before = scene.rendered
            assert camera.capture().rgb[0, 0, 2] > before


def test_the_scene_may_react_between_captures() -> None:
    height = [0.6]
    mock = MockRealSense(lambda: (np.full((480, 640, 3), 9, np.uint8), np.full((480, 640), height[0])))
    with RealSenseCamera(CameraConfig(warmup=2, timeout_s=0.3), POSE, mock.source()) as camera:
        for height[0] in (0.6, 0.4, 0.8):
            assert np.median(camera.capture().depth_m) == pytest.approx(height[0], abs=0.002)


def test_noise_is_quadratic_and_seeded() -> None:
    def spread(z: float, seed: int) -> np.ndarray:
        mock = MockRealSense(lambda: (np.zeros((480, 640, 3), np.uint8), np.full((480, 640), z)), seed=seed)
        with RealSenseCamera(QUIET, POSE, mock.source()) as camera:
            return camera.capture().depth_m

    assert np.std(spread(2.0, 0)) == pytest.approx(STEREO_NOISE * 4, rel=0.05)
    np.testing.assert_array_equal(spread(1.0, 3), spread(1.0, 3))
    assert not np.array_equal(spread(1.0, 3), spread(1.0, 4))


@pytest.mark.parametrize("filters", [("threshold",), ("spatial", "temporal"), ("hole_filling",)])
def test_filters(filters) -> None:
    mock = MockRealSense(Scene(), seed=1)
    mock.faults.holes = 0.1
    config = CameraConfig(warmup=0, timeout_s=0.3, filters=filters, max_depth_m=0.55, min_valid=0.0)
    with RealSenseCamera(config, POSE, mock.source()) as camera:
        frame = camera.capture()
    valid = frame.depth_m[10:] > 0
    assert frame.rgb[300, 100, 0] > 150
    assert frame.rgb[240, 320, 1] > 150
    if filters == ("threshold",):
        assert np.all(frame.depth_m[frame.depth_m > 0] < 0.56)
        assert 0 < valid.sum() <= 80 * 40
    elif filters == ("hole_filling",):
        assert valid.mean() > 0.99
    else:
        assert 0.85 < valid.mean() <= 1.0
        assert np.median(frame.depth_m[300:]) == pytest.approx(0.6, abs=0.005)


def test_the_real_pipeline_plays_a_recording(tmp_path) -> None:
    file = record(tmp_path / "scene.db3", MockRealSense(Scene(), noise=False), 6)
    numbers = []
    with RealSenseCamera(QUIET, POSE, PipelineSource(recording=file)) as camera:
        assert camera.stream.depth_scale_m == pytest.approx(DEPTH_SCALE_M)
        with pytest.raises(CameraTimeout, match="recording ended"):  # noqa: PT012 - reads to the end
            while True:
                frame = camera.capture()
                assert camera.last is not None
                numbers.append(camera.last.color_number)
                assert frame.rgb[0, 0, 2] == camera.last.color_number
                assert frame.depth_m[240, 320] == pytest.approx(0.5, abs=1e-3)
    # Played back as it is read, whatever else the machine does: no picture is lost, none comes twice.
    assert numbers == [1, 2, 3, 4, 5, 6]


def test_a_recording_that_is_not_there(tmp_path) -> None:
    with pytest.raises(CameraMissing, match="no file"):
        RealSenseCamera(QUIET, POSE, PipelineSource(recording=tmp_path / "no.db3")).start()
    (tmp_path / "bad.db3").write_bytes(b"not a recording")
    with pytest.raises(CameraMissing, match="cannot stream"):
        RealSenseCamera(QUIET, POSE, PipelineSource(recording=tmp_path / "bad.db3")).start()
    with pytest.raises(ValueError, match="db3"):
        record(tmp_path / "a.bag", MockRealSense(Scene()), 3)


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ({"unplugged": True}, CameraTimeout, "unplugged"),
        ({"frozen": True}, CameraFrozen, "not newer"),
        ({"stuck_pixels": True}, CameraFrozen, "equal pixels"),
        ({"no_depth": True}, CameraError, "depth|no picture"),
        ({"skew_ms": 16.0}, CameraStale, "ms apart"),
        ({"holes": 0.9}, CameraBlind, "10% of the pixels"),
    ],
    ids=lambda v: str(next(iter(v))) if isinstance(v, dict) else "",
)
def test_faults_are_refused_and_pass(fault, error, words) -> None:
    mock = MockRealSense(Scene())
    config = CameraConfig(warmup=0, timeout_s=0.1, max_skew_ms=10.0)
    with RealSenseCamera(config, POSE, mock.source()) as camera:
        camera.capture()
        for name, value in fault.items():
            setattr(mock.faults, name, value)
        with pytest.raises(error, match=words):
            camera.capture()
        for name in fault:
            setattr(mock.faults, name, type(getattr(mock.faults, name))(0))
        camera.capture()


class Stamped:
    """A colour picture of which only the clock matters."""

    def __init__(self, domain: object) -> None:
        self.domain = domain

    def get_frame_timestamp_domain(self) -> object:
        return self.domain


def test_many_lost_frames_are_refused_few_are_not() -> None:
    mock = MockRealSense(Scene())
    config = CameraConfig(warmup=0, timeout_s=0.1, max_lost=3)
    with RealSenseCamera(config, POSE, mock.source()) as camera:
        camera.capture()
        mock.faults.drop = 2
        camera.capture()
        clock = Stamped(load_sdk().timestamp_domain.hardware_clock)
        taken = Taken(60, 60, 2000.0, 2000.0)
        assert camera._checks.refuse(taken, 56, clock) is None
        error = camera._checks.refuse(taken, 50, clock)
        assert isinstance(error, CameraStale)
        assert "9 frames were lost" in str(error)


def test_old_pictures_are_refused_where_clocks_agree() -> None:
    domains = load_sdk().timestamp_domain
    now = 1_700_000_000.0
    with RealSenseCamera(QUIET, POSE, MockRealSense(Scene()).source(), wall_clock=lambda: now) as camera:

        def refuse(age_s: float, domain: object) -> object:
            at_ms = (now - age_s) * 1000
            return camera._checks.refuse(Taken(7, 7, at_ms, at_ms), None, Stamped(domain))

        for domain in (domains.system_time, domains.global_time):
            assert refuse(0.1, domain) is None
            assert "0.90 s old" in str(refuse(0.9, domain))
        assert refuse(0.9, domains.hardware_clock) is None


def test_a_distorting_lens_is_refused() -> None:
    class Bent(MockRealSense):
        def _video(self, kind, uid, form, size, K):
            stream = super()._video(kind, uid, form, size, K)
            lens = stream.intrinsics
            lens.model, lens.coeffs = self._rs.distortion.inverse_brown_conrady, [-0.05, 0.06, 0, 0, 0]
            stream.intrinsics = lens
            return stream

    with (
        RealSenseCamera(QUIET, POSE, Bent(Scene()).source()) as camera,
        pytest.raises(CameraMissing, match="distorted"),
    ):
        camera.capture()


def test_misuse() -> None:
    with pytest.raises(ValueError, match="filters"):
        CameraConfig(filters=("blur",))
    with pytest.raises(ValueError, match="T_base_cam"):
        RealSenseCamera(QUIET, np.diag([2.0, 1, 1, 1]))
    with pytest.raises(CameraError, match="not started"):
        RealSenseCamera(QUIET, POSE, MockRealSense(Scene()).source()).capture()


def test_no_camera_is_said_in_words() -> None:
    with pytest.raises(CameraMissing, match="any RealSense camera"):
        RealSenseCamera(QUIET, POSE).start()


def test_a_recording_can_be_played_again_by_the_same_camera(tmp_path) -> None:
    """Its frame numbers begin anew: they are not older than what the first showing ended with."""
    file = record(tmp_path / "scene.db3", MockRealSense(Scene(), noise=False), 3)
    camera = RealSenseCamera(QUIET, POSE, PipelineSource(recording=file))
    for _ in range(2):
        with camera:
            assert [int(camera.capture().rgb[0, 0, 2]) for _ in range(3)] == [1, 2, 3]
