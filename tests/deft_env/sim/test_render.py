"""Pictures: camera geometry, depth, determinism, and the error without OpenGL."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np
import pytest

from deft_env.sim import controls, execute, names, render, world


@pytest.fixture(scope="module")
def parked(cup: Any) -> render.Scene:
    scene = render.Scene(cup, execute.robot_qpos(cup, cup.qpos0, *controls.parked()))
    try:
        scene.rgb()
    except render.RenderingUnavailableError as error:
        pytest.skip(str(error))
    return scene


def test_depth_and_camera_agree_with_the_scene(parked: render.Scene, cup: Any) -> None:
    """Every cup pixel, lifted by K and T_base_cam, lies on the cup; the rest of the table on z = 0."""
    depth, ids = parked.depth(), parked.segmentation()
    k, pose = world.camera_matrix(), world.ego_pose()
    v, u = np.mgrid[0:480, 0:640] + 0.5
    rays = np.stack([(u - k[0, 2]) / k[0, 0], (v - k[1, 2]) / k[1, 1], np.ones_like(u)], axis=-1)
    points = (rays * depth[..., None]) @ pose[:3, :3].T + pose[:3, 3]
    cup_pixels = ids == cup.geom("thing").id
    assert cup_pixels.sum() > 1500
    on_cup = points[cup_pixels]
    radius = np.hypot(on_cup[:, 0] - 0.45, on_cup[:, 1])
    assert np.quantile(radius, 0.99) < 0.038
    assert on_cup[:, 2].max() == pytest.approx(0.10, abs=0.004)
    table = points[(ids == cup.geom(names.TABLE_GEOM).id)]
    assert np.abs(table[:, 2]).max() < 0.01


def test_the_parked_arm_leaves_the_workspace_in_view(parked: render.Scene, cup: Any) -> None:
    ids = parked.segmentation()
    table = (ids == cup.geom(names.TABLE_GEOM).id) | (ids == cup.geom("thing").id)
    assert table[100:].all()
    assert table.mean() > 0.9


def test_what_is_beyond_the_camera_range_is_a_hole(parked: render.Scene) -> None:
    depth = parked.depth(names.FILM_CAMERA)
    assert (depth == 0).any()
    assert depth.max() < render.MAX_DEPTH_M
    assert depth.dtype == np.float32


def test_pictures_are_the_same_twice_and_differ_with_the_state(parked: render.Scene, cup: Any) -> None:
    first = parked.rgb()
    assert first.shape == (480, 640, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, render.Scene(cup, parked.data.qpos.copy()).rgb())
    moved = parked.data.qpos.copy()
    moved[-7] += 0.05
    assert not np.array_equal(first, render.Scene(cup, moved).rgb())
    assert parked.rgb(size=(224, 224)).shape == (224, 224, 3)


def test_one_context_draws_models_of_other_sizes(parked: render.Scene, cup: Any, make_cup: Callable[..., Any]) -> None:
    big, small = make_cup(radius_m=0.05), parked.segmentation()
    contexts = list(render._local.cache)
    drawn = render.Scene(big, parked.data.qpos).segmentation() == big.geom("thing").id
    assert drawn.sum() > 1.2 * (small == cup.geom("thing").id).sum()
    assert list(render._local.cache) == contexts


def test_rounds_of_another_fineness_have_a_context_of_their_own(
    parked: render.Scene, make_cup: Callable[..., Any]
) -> None:
    """Slices and stacks are fixed when a context is made: another model's would make a picture depend on the past."""
    coarse = make_cup()
    coarse.vis.quality.numslices, coarse.vis.quality.numstacks = 6, 4
    scene = render.Scene(coarse, parked.data.qpos.copy())
    after_fine = (parked.rgb(), scene.rgb())[1]
    render.close_all()
    assert np.array_equal(scene.rgb(), after_fine)
    assert not np.array_equal(parked.rgb(), after_fine)


def test_colour_and_depth_in_one_pass_are_those_of_two(parked: render.Scene) -> None:
    rgb, depth = parked.rgbd()
    assert np.array_equal(depth, parked.depth())
    smooth = parked.rgb(shadows=False).astype(int)
    off = np.abs(rgb.astype(int) - smooth).max(axis=2)
    assert 0.0 < (off > 4).mean() < 0.02  # at edges, and nowhere else


def test_a_picture_without_mipmaps_is_the_same(parked: render.Scene) -> None:
    """An eighth of a frame's time; a driver that drew something else would show here."""
    from OpenGL import GL

    for mipmaps, expected in ((True, GL.GL_LINEAR_MIPMAP_LINEAR), (False, GL.GL_LINEAR)):
        for mine, theirs in zip(parked.rgbd(mipmaps=mipmaps), parked.rgbd(), strict=True):
            assert np.array_equal(mine, theirs)
        context = render._renderer(parked.model, 640, 480, 0, mipmaps).context
        parked.rgbd(mipmaps=mipmaps)  # makes the context current
        assert context.ntexture > 0
        for texture, kind in zip(context.texture[: context.ntexture], context.textureType, strict=False):
            flat = kind == mujoco.mjtTexture.mjTEXTURE_2D
            target = GL.GL_TEXTURE_2D if flat else GL.GL_TEXTURE_CUBE_MAP
            GL.glBindTexture(target, int(texture))
            if flat:  # the sky has no mipmaps anyway
                assert GL.glGetTexParameteriv(target, GL.GL_TEXTURE_MIN_FILTER) == expected


def test_a_lent_data_draws_what_an_own_one_does(parked: render.Scene, cup: Any) -> None:
    lent = mujoco.MjData(cup)
    lent.qpos[:] = 0.3
    mujoco.mj_step(cup, lent)
    qpos = parked.data.qpos.copy()
    for mine, theirs in zip(render.Scene(cup, qpos, data=lent).rgbd(), parked.rgbd(), strict=True):
        assert np.array_equal(mine, theirs)


def test_another_thread_draws_the_same(parked: render.Scene, cup: Any) -> None:
    out: list[np.ndarray] = []

    def draw() -> None:
        out.append(render.Scene(cup, parked.data.qpos.copy()).rgb())
        render.close_all()

    thread = threading.Thread(target=draw)
    thread.start()
    thread.join()
    assert np.array_equal(out[0], parked.rgb())


def test_wrong_state_size_is_named(cup: Any) -> None:
    with pytest.raises(ValueError, match="qpos"):
        render.Scene(cup, np.zeros(3))


def test_without_opengl_one_line_names_the_packages() -> None:
    code = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'OpenGL': raise ImportError('no GL here')\n"
        "sys.meta_path.insert(0, Block())\n"
        "from deft_env.sim import render, world\n"
        "m = world.base_spec().compile()\n"
        "try: render.Scene(m, m.qpos0).rgb()\n"
        "except render.RenderingUnavailableError as e: print(str(e))\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "MUJOCO_GL"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert "libegl1 libgl1-mesa-dri libosmesa6" in done.stdout
    assert done.stdout.count("\n") == 1
