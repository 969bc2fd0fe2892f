"""Reads pickles from outside without running them: every class that is not on a short list is refused.

A pickle is a program. Detectors and hand models publish their results as pickles all the same, so each kind of file
gets the shortest list of names that its real files need (numpy arrays, an ordered dictionary, a sparse matrix), and a
size limit.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

MAX_BYTES: Final = 512 * 2**20
"""Largest pickle that is read at all (our choice)."""


class RefusedPickleError(ValueError):
    """A pickle asked for a name that is not allowed; nothing of it was run."""


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """Stands in for ``_codecs.encode``, which Python 2 byte strings are pickled through; latin-1 only."""
    if encoding.lower().replace("-", "").replace("_", "") not in ("latin1", "iso88591"):
        raise RefusedPickleError(f"pickle: encoding {encoding!r} is not allowed, only latin1")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Stands in for ``bytes``, which old protocols call for an empty string; with a number it would take memory."""
    return b""


class _Kind:
    """Stands in for ``numpy.dtype`` while unpickling: takes a plain number type and its byte order, nothing else.

    The real ``dtype.__setstate__`` believes sizes and flags that come out of the file.
    """

    def __init__(self, text: Any, *_: Any) -> None:
        text = text.decode("latin1") if isinstance(text, bytes) else text
        if not isinstance(text, str):
            raise RefusedPickleError(f"pickle: expected the name of a dtype, got {type(text).__name__}")
        self.dtype = np.dtype(text)
        if self.dtype.kind not in "biufcSU":
            raise RefusedPickleError(f"pickle: arrays of {self.dtype} are not allowed, only of plain numbers and text")

    def __setstate__(self, state: Any) -> None:
        order = state[1].decode("latin1") if isinstance(state[1], bytes) else state[1]
        if order == ">" and self.dtype.itemsize > 1:
            self.dtype = self.dtype.newbyteorder(">")


class _Array(np.ndarray):
    """A plain array that takes its type from a ``_Kind``; numpy checks the size of the data against the shape."""

    def __setstate__(self, state: Any) -> None:
        version, shape, kind, fortran, raw = state
        raw = raw.encode("latin1") if isinstance(raw, str) else raw
        if not isinstance(kind, _Kind) or not isinstance(raw, bytes):
            raise RefusedPickleError("pickle: an array must have a plain dtype and its data as bytes")
        super().__setstate__((version, shape, kind.dtype, bool(fortran), raw))  # type: ignore[arg-type]


def _empty(subtype: Any, shape: Any, kind: Any) -> np.ndarray:
    return _Array.__new__(_Array, (0,), np.int8)


def _scalar(kind: _Kind, data: bytes) -> Any:
    data = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(data, dtype=kind.dtype)[0]


def _frombuffer(buffer: Any, kind: _Kind, shape: Any, order: str) -> np.ndarray:
    return np.frombuffer(buffer, dtype=kind.dtype).reshape(shape, order="F" if order == "F" else "C").copy()


def _numpy_names() -> dict[tuple[str, str], Any]:
    names: dict[tuple[str, str], Any] = {("numpy", "ndarray"): _Array, ("numpy", "dtype"): _Kind}
    for core in ("numpy.core", "numpy._core"):
        names[f"{core}.multiarray", "_reconstruct"] = _empty
        names[f"{core}.multiarray", "scalar"] = _scalar
        names[f"{core}.numeric", "_frombuffer"] = _frombuffer
    names["_codecs", "encode"] = _latin1
    names["__builtin__", "bytes"] = _no_bytes
    return names


NUMPY: Final[Mapping[tuple[str, str], Any]] = _numpy_names()
"""Plain numpy arrays, as numpy 1 and 2 and Python 2 pickle them."""
RESULTS: Final[Mapping[tuple[str, str], Any]] = {**NUMPY, ("collections", "OrderedDict"): OrderedDict}
"""What detector results hold (FrankMocap, 100DOH, HOI4D)."""
NOTHING: Final[Mapping[tuple[str, str], Any]] = {}
"""Lists, dictionaries, numbers, text and bytes only (EPIC-KITCHENS hand-object detections)."""


class _Placeholder:
    """Takes the state of a class that is not installed, and does nothing with it."""

    state: Any = None

    def __new__(cls, *args: Any) -> _Placeholder:
        return object.__new__(cls)

    def __init__(self, *args: Any) -> None:
        self.args = args

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Sparse(_Placeholder):
    pass


class _Chumpy(_Placeholder):
    pass


def _reconstructor(cls: Any, base: Any, state: Any) -> Any:
    """Stands in for ``copyreg._reconstructor``; makes placeholders only."""
    if not (isinstance(cls, type) and issubclass(cls, _Placeholder)):
        raise RefusedPickleError(f"pickle: may not rebuild {cls!r}")
    return cls()


_MANO: Final[Mapping[tuple[str, str], Any]] = {
    **NUMPY,
    ("scipy.sparse.csc", "csc_matrix"): _Sparse,
    ("scipy.sparse._csc", "csc_matrix"): _Sparse,
    ("chumpy.reordering", "Select"): _Chumpy,
    ("chumpy.ch", "Ch"): _Chumpy,
    ("copy_reg", "_reconstructor"): _reconstructor,
    ("copyreg", "_reconstructor"): _reconstructor,
    ("__builtin__", "object"): object,
    ("builtins", "object"): object,
}


class _Restricted(pickle.Unpickler):
    def __init__(self, data: bytes, allowed: Mapping[tuple[str, str], Any]) -> None:
        # latin1 is what Python 2 arrays need; the alias "fix_imports" would rename modules behind our back.
        super().__init__(io.BytesIO(data), fix_imports=False, encoding="latin1")
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._allowed[module, name]
        except KeyError:
            raise RefusedPickleError(
                f"pickle: refused to load {module}.{name}; the file is broken or tries to run code. Allowed: "
                f"{', '.join(sorted('.'.join(k) for k in self._allowed)) or 'no class at all'}"
            ) from None

    def persistent_load(self, pid: Any) -> Any:
        raise RefusedPickleError("pickle: persistent ids are not allowed")


def loads(data: bytes, allowed: Mapping[tuple[str, str], Any] = RESULTS, name: str = "data") -> Any:
    """Unpickles ``data`` with nothing but ``allowed`` names.

    Raises:
        RefusedPickleError: (a ValueError) if it asks for any other name.
        ValueError: if the pickle is truncated, broken or too large.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"{name}: {len(data)} bytes, more than the {MAX_BYTES} that are read at most")
    try:
        return _Restricted(data, allowed).load()
    except RefusedPickleError as error:
        raise RefusedPickleError(f"{name}: {error}") from None
    except (MemoryError, RecursionError):
        raise ValueError(f"{name}: the pickle is nested or sized beyond reason") from None
    except Exception as error:  # a broken pickle can raise nearly anything; all of it means the same to the caller
        raise ValueError(
            f"{name}: not a readable pickle, perhaps truncated ({type(error).__name__}: {error})"
        ) from None


def load(path: str | Path, allowed: Mapping[tuple[str, str], Any] = RESULTS) -> Any:
    """Reads a pickle file as ``loads`` does; see there for errors.

    Raises:
        FileNotFoundError: if there is no such file.
    """
    file = Path(path)
    if file.stat().st_size > MAX_BYTES:
        raise ValueError(f"{file}: {file.stat().st_size} bytes, more than the {MAX_BYTES} that are read at most")
    return loads(file.read_bytes(), allowed, str(file))


def load_mano_pickle(path: str | Path) -> Any:
    """Reads a MANO pickle, plain or with chumpy nodes (left unread), its sparse regressor as a dense array.

    Raises:
        ValueError: as ``loads``.
    """
    data = load(path, _MANO)
    if not isinstance(data, dict):
        return data
    regressor = data.get("J_regressor")
    if isinstance(regressor, _Sparse):
        from scipy.sparse import csc_matrix

        state = regressor.state if isinstance(regressor.state, dict) else {}
        try:
            parts = tuple(np.asarray(state[key]) for key in ("data", "indices", "indptr"))
            shape = state["_shape"] if "_shape" in state else state["shape"]
            data["J_regressor"] = csc_matrix(parts, shape=tuple(int(n) for n in shape)).toarray()
        except Exception as error:  # scipy's own checks of hostile index arrays raise several kinds
            raise ValueError(f"{path}: J_regressor is no readable sparse matrix ({error})") from None
    return data
