"""Pictures of stored states: colour, depth and segmentation from a model and its joint positions, off screen.

Each thread has contexts of its own (``sim.gl``; a process forked after one exists hangs: use spawn), shared by models
with the same meshes and textures, whatever their sizes and colours.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deft_env.sim import gl, names
from deft_env.sim.gl import RenderingUnavailableError

__all__ = ["MAX_DEPTH_M", "RenderingUnavailableError", "Scene", "close_all"]

MAX_DEPTH_M: Final = 10.0
"""Range of the D435; what lies beyond is a hole, 0."""
_MAX_GEOMS: Final = 2000
_KEPT_CONTEXTS: Final = 4
_SMOOTH: Final = 4
"""Samples a pixel of pictures for people; those for machines have one, at a third of the cost."""
_FILM_LIGHT: Final = 0.82
"""Brightness of the lights in films, so that white things keep their edges; the robot's camera has all of it."""
_local = threading.local()


def _checksum(*buffers: Any) -> int:
    value = 0
    for buffer in buffers:
        value = zlib.adler32(np.ascontiguousarray(buffer).tobytes(), value)
    return value


class _Renderer:
    """A context with the textures and meshes of one family of models, and a scene to draw them with."""

    def __init__(self, model: Any, width: int, height: int, samples: int, mipmaps: bool) -> None:
        import mujoco

        self._mj = mujoco
        self.rect = mujoco.MjrRect(0, 0, width, height)
        quality = model.vis.quality
        with gl.LOCK:  # the pictures of a film share a model, and threads
            self.gl = gl.context(width, height)
            kept, quality.offsamples = quality.offsamples, samples  # read when the context is made, and only then
            try:
                self.context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
            finally:
                quality.offsamples = kept
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self.context)
        if not mipmaps:
            flat, used = mujoco.mjtTexture.mjTEXTURE_2D.value, slice(self.context.ntexture)
            gl.drop_mipmaps(self.context.texture[used], self.context.textureType[used] != flat)
        self.context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        self.scene = mujoco.MjvScene(model=model, maxgeom=_MAX_GEOMS)
        self.option = mujoco.MjvOption()
        self.option.geomgroup[:] = [1, 1, 1, 0, 0, 0]
        self.perturb = mujoco.MjvPerturb()
        self.meshes = _checksum(model.mesh_vert, model.mesh_face)

    def use(self, model: Any) -> None:
        """Uploads the meshes of ``model`` if they are not the ones of the last picture: far cheaper than a context."""
        meshes = _checksum(model.mesh_vert, model.mesh_face)
        if meshes != self.meshes:
            self.gl.make_current()
            for mesh in range(model.nmesh):
                self._mj.mjr_uploadMesh(model, self.context, mesh)
            self.meshes = meshes

    def update(self, model: Any, data: Any, camera: str, shadows: bool) -> None:
        mujoco = self._mj
        view = mujoco.MjvCamera()
        view.type, view.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, model.camera(camera).id
        self.gl.make_current()
        mujoco.mjv_updateScene(
            model, data, self.option, self.perturb, view, mujoco.mjtCatBit.mjCAT_ALL.value, self.scene
        )
        if camera == names.FILM_CAMERA:
            for light in self.scene.lights[: self.scene.nlight]:
                for part in (light.ambient, light.diffuse):
                    part *= _FILM_LIGHT
        self.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadows
        self.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False

    def _segment(self, on: bool) -> None:
        self.scene.flags[self._mj.mjtRndFlag.mjRND_SEGMENT] = on
        self.scene.flags[self._mj.mjtRndFlag.mjRND_IDCOLOR] = on

    def read(self, *, colour: bool) -> NDArray[np.uint8]:
        """Colours, or numbers of things as colours, (height, width, 3)."""
        self._segment(not colour)
        out = np.empty((self.rect.height, self.rect.width, 3), np.uint8)
        self._mj.mjr_render(self.rect, self.scene, self.context)
        self._mj.mjr_readPixels(out, None, self.rect, self.context)
        return np.ascontiguousarray(out[::-1])

    def read_depth(self, model: Any) -> NDArray[np.float32]:
        """Depth (height, width), from the flat pass: cheaper than light and texture."""
        self._segment(True)
        out = np.empty((self.rect.height, self.rect.width), np.float32)
        self._mj.mjr_render(self.rect, self.scene, self.context)
        self._mj.mjr_readPixels(None, out, self.rect, self.context)
        return _metres(model, out)

    def read_both(self, model: Any) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Colour and depth from one pass."""
        self._segment(False)
        rgb = np.empty((self.rect.height, self.rect.width, 3), np.uint8)
        depth = np.empty((self.rect.height, self.rect.width), np.float32)
        self._mj.mjr_render(self.rect, self.scene, self.context)
        self._mj.mjr_readPixels(rgb, depth, self.rect, self.context)
        return np.ascontiguousarray(rgb[::-1]), _metres(model, depth)

    def close(self) -> None:
        with contextlib.suppress(RuntimeError):  # on a display that was ended, nothing is left to be freed
            self.gl.make_current()
            self.context.free()
        self.gl.free()


def _metres(model: Any, buffer: NDArray[np.float32]) -> NDArray[np.float32]:
    """Depth in m, first row on top, of a depth buffer."""
    near, far = (float(z) * float(model.stat.extent) for z in (model.vis.map.znear, model.vis.map.zfar))
    # Reversed z: the buffer holds near (far - z) / (z (far - near)).
    depth: NDArray[np.float32] = (near * far / (near + buffer[::-1].astype(np.float64) * (far - near))).astype(
        np.float32
    )
    depth[depth >= MAX_DEPTH_M] = 0.0
    return depth


def _renderer(model: Any, width: int, height: int, samples: int, mipmaps: bool) -> _Renderer:
    cache: dict[tuple[int, ...], _Renderer] | None = getattr(_local, "cache", None)
    if cache is None:
        cache = _local.cache = {}
        if threading.current_thread() is threading.main_thread():
            atexit.register(close_all)  # before Python takes itself apart; other threads are asked by who made them
    assets = _checksum(model.tex_data, model.mat_texid, model.hfield_data, model.flex_elem)
    quality = model.vis.quality  # what a context is made with, and keeps
    kept = (int(quality.shadowsize), int(quality.numslices), int(quality.numstacks))
    key = (width, height, samples, mipmaps, assets, model.ntex, model.nmesh, model.nflexvert, *kept)
    if key not in cache:
        while len(cache) >= _KEPT_CONTEXTS:
            cache.pop(next(iter(cache))).close()
        cache[key] = _Renderer(model, width, height, samples, mipmaps)
    cache[key].use(model)
    return cache[key]


class Scene:
    """One state, ready to be drawn from several cameras and in several ways."""

    def __init__(
        self, model: Any, qpos: NDArray[np.float64], *, data: Any = None, mocap: Any = None, eq_active: Any = None
    ) -> None:
        """Sets ``qpos`` (nq,) in the compiled ``model`` and computes the pose of everything.

        Args:
            model: compiled.
            qpos: (nq,) joint positions.
            data: an MjData of the model's sizes to write into; None makes one.
            mocap: positions and quaternions of mocap bodies.
            eq_active: which equalities are active.

        Raises:
            ValueError: if ``qpos`` has not the model's size.
        """
        import mujoco

        qpos = np.asarray(qpos, dtype=np.float64)
        if qpos.shape != (model.nq,):
            raise ValueError(f"qpos: expected shape ({model.nq},) for this model, got {qpos.shape}")
        self.model = model
        self.data = mujoco.MjData(model) if data is None else data
        self.data.qpos[:] = qpos
        if mocap is not None:
            self.data.mocap_pos[:], self.data.mocap_quat[:] = mocap
        if eq_active is not None:
            self.data.eq_active[:] = eq_active
        mujoco.mj_kinematics(model, self.data)
        mujoco.mj_camlight(model, self.data)
        mujoco.mj_tendon(model, self.data)
        if model.nflex:
            mujoco.mj_flex(model, self.data)

    def _drawn(
        self, camera: str, size: tuple[int, int], *, shadows: bool = False, samples: int = 0, mipmaps: bool = True
    ) -> _Renderer:
        renderer = _renderer(self.model, *size, samples, mipmaps)
        renderer.update(self.model, self.data, camera, shadows)
        return renderer

    def rgb(
        self, camera: str = names.EGO_CAMERA, size: tuple[int, int] = (640, 480), *, shadows: bool = True
    ) -> NDArray[np.uint8]:
        """Colour with smooth edges (height, width, 3), uint8, for people; ``size`` is (width, height) in px."""
        return self._drawn(camera, size, shadows=shadows, samples=_SMOOTH).read(colour=True)

    def rgbd(
        self,
        camera: str = names.EGO_CAMERA,
        size: tuple[int, int] = (640, 480),
        *,
        shadows: bool = False,
        mipmaps: bool = True,
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Colour (height, width, 3) and depth (height, width) in one pass, edges not smoothed: a tenth of the cost.

        Without ``mipmaps`` an eighth cheaper, and the same as long as no texture is seen far smaller than it is.
        """
        return self._drawn(camera, size, shadows=shadows, mipmaps=mipmaps).read_both(self.model)

    def depth(self, camera: str = names.EGO_CAMERA, size: tuple[int, int] = (640, 480)) -> NDArray[np.float32]:
        """Depth along the optical axis (height, width), float32, m; 0 = hole."""
        return self._drawn(camera, size).read_depth(self.model)

    def segmentation(self, camera: str = names.EGO_CAMERA, size: tuple[int, int] = (640, 480)) -> NDArray[np.int32]:
        """Geom id of each pixel (height, width), int32; -1 where there is none."""
        renderer = self._drawn(camera, size)
        pixels = renderer.read(colour=False).astype(np.int32)
        number = pixels[..., 0] + (pixels[..., 1] << 8) + (pixels[..., 2] << 16)
        geoms = renderer.scene.geoms[: renderer.scene.ngeom]
        table = np.full(renderer.scene.ngeom + 1, -1, dtype=np.int32)
        geom_kind = int(renderer._mj.mjtObj.mjOBJ_GEOM)
        for geom in geoms:
            if geom.segid >= 0 and geom.objtype == geom_kind:
                table[geom.segid + 1] = geom.objid
        return table[number]


def close_all() -> None:
    """Frees this thread's contexts."""
    for renderer in getattr(_local, "cache", {}).values():
        renderer.close()
    _local.cache = {}
