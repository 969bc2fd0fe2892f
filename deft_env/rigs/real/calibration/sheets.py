"""Sheets to print for calibration: the ChArUco board, and the markers of the fingers' links, in true size on A4.

The page is laid out in millimetres; fiducials are drawn a whole number of pixels a module, so that edges stay sharp at
any resolution of the printer. Printers that fit pages to the paper shrink them: that is what the ruler is for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from deft_env import grasp
from deft_env.rigs.real.calibration.fiducial import Board, marker_image
from deft_env.rigs.real.calibration.joint_markers import LINKS, PALMS, MarkerConfig, markers_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

A4_MM: Final = (210.0, 297.0)
RULER_MM: Final = 100
MARGIN_MM: Final = 12.0
"""What printers may leave white (our choice)."""
_TOP_MM: Final = 52.0
"""Where fiducials begin; the words are above."""
_RULER_AT_MM: Final = A4_MM[1] - 22.0
_MM_PER_INCH: Final = 25.4
_RIM: Final = 1.0 / 6.0
"""White rim that a marker needs: one of the six modules of a 4 x 4 marker."""
_LABEL_MM: Final = 9.0
_GAP_MM: Final = 5.0
_PX: Final = 120
"""Of a square of the board, and of a marker: 4 x 4 markers have six modules."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A fiducial on the page.

    Attributes:
        name: ``board``, or the link that a marker belongs on.
        left_mm, top_mm: from the page's upper left corner.
        width_mm, height_mm: printed size, without the white rim.
        picture: (h, w) grey.
    """

    name: str
    left_mm: float
    top_mm: float
    width_mm: float
    height_mm: float
    picture: NDArray[np.uint8]


def place_board(board: Board) -> Placed:
    """The board, centred.

    Raises:
        ValueError: if it does not fit on the page.
    """
    width, height = 1e3 * board.square_m * board.columns, 1e3 * board.square_m * board.rows
    _check_room(width, height, f"square_m: a board of {board.columns} x {board.rows} squares of {board.square_m} m")
    return Placed("board", 0.5 * (A4_MM[0] - width), _TOP_MM, width, height, board.image(_PX))


def place_markers(config: MarkerConfig, fingers: Iterable[str] = grasp.FINGER_NAMES) -> list[Placed]:
    """The markers that ``fingers`` need, in a grid: the palm's first, then a row for each finger.

    Raises:
        ValueError: if they do not fit on the page.
    """
    links = markers_of(fingers)
    size = 1e3 * config.size_m
    cell_w, cell_h = size * (1 + 2 * _RIM) + _GAP_MM + 8.0, size * (1 + 2 * _RIM) + _LABEL_MM + _GAP_MM
    palms = [name for name in links if name in PALMS.values()]
    rows = [palms, *([name for name in links if name.startswith(f"{f}_")] for f in grasp.FINGER_NAMES)]
    rows = [row for row in rows if row]
    columns = max(len(LINKS), len(palms))
    _check_room(cell_w * columns, cell_h * len(rows), f"size_m: {len(links)} markers of {config.size_m} m")
    left = 0.5 * (A4_MM[0] - cell_w * columns)
    return [
        Placed(
            name,
            left + cell_w * i + 0.5 * (cell_w - size),
            _TOP_MM + cell_h * j + size * _RIM,
            size,
            size,
            marker_image(config.ids[name], config.dictionary, _PX),
        )
        for j, row in enumerate(rows)
        for i, name in enumerate(row)
    ]


def _check_room(width_mm: float, height_mm: float, what: str) -> None:
    wide, high = A4_MM[0] - 2 * MARGIN_MM, _RULER_AT_MM - 8.0 - _TOP_MM
    if not (width_mm <= wide and height_mm <= high):
        raise ValueError(
            f"{what} take {width_mm:.0f} x {height_mm:.0f} mm; an A4 page has room for {wide:.0f} x {high:.0f} mm"
        )


def board_sheet(board: Board) -> Figure:
    """The page with the board, for ``deft calibrate camera``.

    Raises:
        ValueError: if it does not fit.
        ImportError: without OpenCV.
    """
    placed = place_board(board)
    fig, ax = _page()
    last = board.columns * board.rows // 2 - 1
    _words(
        ax,
        f"ChArUco board, {board.columns} x {board.rows} squares",
        f"{board.dictionary}, ids 0 to {last}; squares {_mm(board.square_m)} mm, markers {_mm(board.marker_m)} mm.",
        "Glue it to a flat, stiff, matt plate with at least half a square of white around it; fasten that to the hand.",
        f"deft calibrate camera --square-m {board.square_m:g} --marker-m {board.marker_m:g}   (better: as measured)",
    )
    _draw(ax, placed)
    return fig


def marker_sheet(config: MarkerConfig, fingers: Iterable[str] = grasp.FINGER_NAMES) -> Figure:
    """The page with the markers of the links, for ``deft calibrate hand``.

    Raises:
        ValueError: if they do not fit.
        ImportError: without OpenCV.
    """
    placed = place_markers(config, fingers)
    fig, ax = _page()
    _words(
        ax,
        f"Markers of the fingers: {len(placed)} of edge {_mm(config.size_m)} mm, {config.dictionary}",
        "Cut along the grey lines: the white rim belongs to the marker. One goes on the back of each link; palm and",
        "palm_thumb go on the palm, beside the fingers and beside the thumb. Arrows point along the finger to its tip.",
        f"deft calibrate hand --marker-m {config.size_m:g}   (better: as measured)",
    )
    for one in placed:
        _draw(ax, one)
        rim = one.width_mm * _RIM
        whole = one.width_mm + 2 * rim
        left, top = one.left_mm - rim, one.top_mm - rim
        ax.plot(
            [left, left + whole, left + whole, left, left],
            [top, top, top + whole, top + whole, top],
            color="0.7",
            lw=0.4,
        )
        middle = one.left_mm + 0.5 * one.width_mm
        ax.text(middle, top + whole + 1.0, f"{config.ids[one.name]}  {one.name}", fontsize=7, ha="center", va="top")
        ax.annotate(
            "",
            (middle + 6.0, top + whole + 6.0),
            (middle - 6.0, top + whole + 6.0),
            arrowprops={"arrowstyle": "->", "lw": 0.7},
        )
    return fig


def save(figure: Figure, path: str | Path) -> None:
    """Writes a sheet as PDF, the same bytes for the same sheet.

    Raises:
        OSError: if it cannot be written.
    """
    import matplotlib as mpl

    # Composed images would be resampled, which blurs edges.
    with mpl.rc_context({"image.composite_image": False}):
        figure.savefig(path, format="pdf", metadata={"CreationDate": None, "Title": "DEFT calibration sheet"})


def _page() -> tuple[Figure, Any]:
    """A page whose one axis counts millimetres from the upper left corner, with the ruler."""
    from matplotlib.figure import Figure

    fig = Figure(figsize=(A4_MM[0] / _MM_PER_INCH, A4_MM[1] / _MM_PER_INCH))
    ax = fig.add_axes((0.0, 0.0, 1.0, 1.0))
    ax.axis("off")
    ax.set_xlim(0.0, A4_MM[0])
    ax.set_ylim(A4_MM[1], 0.0)
    ax.set_autoscale_on(False)
    left = 0.5 * (A4_MM[0] - RULER_MM)
    ax.plot([left, left + RULER_MM], [_RULER_AT_MM] * 2, color="black", lw=0.5, solid_capstyle="butt", gid="ruler")
    for mm in range(RULER_MM + 1):
        long = 5.0 if mm % 10 == 0 else 3.5 if mm % 5 == 0 else 2.0
        ax.plot([left + mm] * 2, [_RULER_AT_MM, _RULER_AT_MM - long], color="black", lw=0.25, solid_capstyle="butt")
    ax.text(
        0.5 * A4_MM[0],
        _RULER_AT_MM + 2.0,
        f"{RULER_MM} mm: measure it. Another length: print again at 100 %, without fitting to the page.",
        fontsize=8,
        ha="center",
        va="top",
    )
    return fig, ax


def _words(ax: Any, title: str, *lines: str) -> None:
    ax.text(MARGIN_MM, MARGIN_MM, title, fontsize=13, va="top")
    for i, line in enumerate(lines):
        ax.text(MARGIN_MM, MARGIN_MM + 9.0 + 5.0 * i, line, fontsize=9, va="top")


def _draw(ax: Any, placed: Placed) -> None:
    right, bottom = placed.left_mm + placed.width_mm, placed.top_mm + placed.height_mm
    ax.imshow(
        placed.picture,
        cmap="gray",
        vmin=0,
        vmax=255,
        interpolation="none",
        extent=(placed.left_mm, right, bottom, placed.top_mm),
        aspect="auto",
    )


def _mm(metres: float) -> str:
    # A tenth of a millimetre is what a printer and a calliper can do.
    return f"{math.floor(1e4 * metres + 0.5) / 10:g}"
