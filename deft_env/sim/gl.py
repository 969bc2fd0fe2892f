"""Off-screen OpenGL contexts, by EGL or OSMesa, and on which display a thread makes its own.

A context made in one thread cannot be used in another. Mesa's software renderer (llvmpipe) fills the pixels of all
contexts of a display one after another, whatever the threads, so that two threads on one display draw 1.2 times as fast
as one, and on a display each twice as fast. So each thread takes a display that no other thread uses, as long as more
can be had and their renderer is the same; where there is a GPU, threads share its display.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
import weakref
from collections.abc import Iterator, Sequence
from typing import Any, Final

NO_GL: Final = (
    "rendering needs OpenGL off screen, and neither EGL nor OSMesa works here: "
    "apt-get install libegl1 libgl1-mesa-dri libosmesa6"
)
_PLATFORM_DEVICE: Final = 0x313F
_PLATFORM_SURFACELESS: Final = 0x31DD
_GL_RENDERER: Final = 0x1F01
_GL_VERSION: Final = 0x1F02
_SOFTWARE: Final = "llvmpipe"
LOCK: Final = threading.RLock()
"""Held while a context is made, by whoever else changes what a context is made from."""
_local: Final = threading.local()


class RenderingUnavailableError(RuntimeError):
    """No off-screen OpenGL on this machine; the message names the packages."""


class _Seat:
    """What a thread holds while it lives: its place on a display."""


class _Display:
    """An initialised EGL display, the name of its renderer, and the threads that draw on it."""

    def __init__(self, handle: Any, renderer: str) -> None:
        self.handle, self.renderer = handle, renderer
        self.seats: weakref.WeakSet[_Seat] = weakref.WeakSet()


_displays: Final[list[_Display]] = []
_untried: Iterator[Any] | None = None
_chosen: str | None = None
"""The backend of this process's contexts, once there is one."""


class _EglContext:
    """A context without a surface, on a display."""

    def __init__(self, handle: Any) -> None:
        """Makes the context and makes it the calling thread's."""
        from mujoco import egl

        self._egl, self._display, self._context = egl.EGL, handle, None
        configs, count = (self._egl.EGLConfig * 1)(), ctypes.c_long()
        self._egl.eglChooseConfig(handle, egl.EGL_ATTRIBUTES, configs, 1, count)
        if count.value < 1:
            raise RuntimeError("EGL has no framebuffer of 24 bits of colour and of depth")
        self._egl.eglBindAPI(self._egl.EGL_OPENGL_API)
        self._context = self._egl.eglCreateContext(handle, configs[0], self._egl.EGL_NO_CONTEXT, None)
        if not self._context:
            raise RuntimeError("EGL made no context")
        self.make_current()

    def make_current(self) -> None:
        """Makes this the context of the calling thread, which must be the one that made it.

        Raises:
            RuntimeError: if somebody ended the display.
        """
        none = self._egl.EGL_NO_SURFACE
        try:
            done = self._egl.eglMakeCurrent(self._display, none, none, self._context)
        except self._egl.EGLError:
            done = False
        if not done:
            raise RuntimeError("EGL did not make the context current: its display was ended, or this is another thread")

    def free(self) -> None:
        """Frees it; may be called twice."""
        if self._context:
            none = self._egl.EGL_NO_SURFACE
            # Somebody else, such as MuJoCo's own renderer when Python ends, may have ended the display and all on it.
            with contextlib.suppress(self._egl.EGLError):
                self._egl.eglMakeCurrent(self._display, none, none, self._egl.EGL_NO_CONTEXT)
                self._egl.eglDestroyContext(self._display, self._context)
        self._context = None

    def renderer(self) -> str:
        """Name and version of what draws in this context."""
        get = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_uint)(self._egl.eglGetProcAddress("glGetString"))
        return "; ".join((get(which) or b"").decode(errors="replace") for which in (_GL_RENDERER, _GL_VERSION))


def _more_displays() -> Iterator[Any]:
    """Handles of further displays of the same machine, not initialised.

    Mesa knows a display by its platform and its list of attributes, of which an empty one is another than none.
    """
    from mujoco.egl import EGL

    prototype = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p)
    get = prototype(EGL.eglGetProcAddress("eglGetPlatformDisplay"))
    empty = (ctypes.c_ssize_t * 1)(EGL.EGL_NONE)
    natives = [(_PLATFORM_DEVICE, ctypes.cast(device, ctypes.c_void_p)) for device in EGL.eglQueryDevicesEXT()]
    natives.append((_PLATFORM_SURFACELESS, ctypes.c_void_p()))
    for platform, native in natives:
        for attributes in (empty, None):
            address = get(platform, native, attributes)
            if address and all(address != _address(display.handle) for display in _displays):
                yield ctypes.cast(address, EGL.EGLDisplay)


def _address(handle: Any) -> int | None:
    return ctypes.cast(handle, ctypes.c_void_p).value


def _first_display() -> _Display:
    from mujoco import egl

    handle = egl.create_initialized_egl_device_display()
    if handle == egl.EGL.EGL_NO_DISPLAY:
        raise RuntimeError("EGL has no display of a device")
    context = _EglContext(handle)
    renderer = context.renderer()
    context.free()
    return _Display(handle, renderer)


def _another_display() -> _Display | None:
    """A display that draws exactly as the first does, if there is one that was not tried."""
    global _untried
    if _SOFTWARE not in _displays[0].renderer:
        return None
    if _untried is None:
        _untried = _more_displays()
    while True:
        try:
            handle = next(_untried)
            from mujoco.egl import EGL

            if not EGL.eglInitialize(handle, None, None):
                continue
            context = _EglContext(handle)
            renderer = context.renderer()
            context.free()
        except StopIteration:
            return None
        except Exception:  # a display that this machine does not have: the threads share those that it has
            continue
        if renderer == _displays[0].renderer:
            return _Display(handle, renderer)


def _display() -> _Display:
    """The calling thread's display: one that no other living thread uses, if that can be had."""
    held: tuple[_Display, _Seat] | None = getattr(_local, "held", None)
    if held is None:
        if not _displays:
            _displays.append(_first_display())
        chosen = min(_displays, key=lambda display: len(display.seats))
        if chosen.seats and (another := _another_display()) is not None:
            _displays.append(another)
            chosen = another
        held = _local.held = (chosen, _Seat())
        chosen.seats.add(held[1])
    return held[0]


def context(width: int, height: int) -> Any:
    """An off-screen context, current in this thread: ``MUJOCO_GL`` if it names a backend, else EGL, else OSMesa.

    Has ``make_current()`` and ``free()``, both for the thread that made it.

    Raises:
        RenderingUnavailableError: where there is none.
    """
    global _chosen
    wanted = os.environ.get("MUJOCO_GL", "").lower()
    reasons = []
    # llvmpipe's own threads cost a third more CPU time and make a frame no faster: batches are drawn by our threads.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    with LOCK:
        backends = [_chosen or wanted] if _chosen or wanted in ("egl", "osmesa") else ["egl", "osmesa"]
        for backend in backends:
            if "OpenGL" not in sys.modules:
                os.environ["PYOPENGL_PLATFORM"] = backend
            try:
                made = _EglContext(_display().handle) if backend == "egl" else _osmesa(width, height)
            except Exception as error:
                reasons.append(f"{backend}: {error}")
                if _chosen is None:  # so that the other one can be tried
                    for module in [m for m in sys.modules if m.split(".")[0] == "OpenGL" or m == f"mujoco.{backend}"]:
                        del sys.modules[module]
            else:
                _chosen = backend
                return made
    raise RenderingUnavailableError(f"{NO_GL} ({'; '.join(reasons)})")


def _osmesa(width: int, height: int) -> Any:
    from mujoco.osmesa import GLContext

    made = GLContext(width, height)
    made.make_current()
    return made


def drop_mipmaps(textures: Sequence[int], cubes: Sequence[bool]) -> None:
    """Makes the current context look up textures in their full size alone: an eighth less time for a frame.

    Right where textures are not seen far smaller than they are, as by the camera of the nine tasks, whose pictures keep
    every bit. MuJoCo has no option for it.

    Args:
        textures: names of textures in this context.
        cubes: which of them are cube maps; the others are flat.
    """
    from OpenGL import GL

    for texture, cube in zip(textures, cubes, strict=True):
        kind = GL.GL_TEXTURE_CUBE_MAP if cube else GL.GL_TEXTURE_2D
        GL.glBindTexture(kind, int(texture))
        GL.glTexParameteri(kind, GL.GL_TEXTURE_MIN_FILTER, GL.GL_LINEAR)
