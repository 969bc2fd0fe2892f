"""Printed sheets: what stands in the PDF, read back and put on a page, is found by OpenCV, true in size and place."""

from __future__ import annotations

import io
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("cv2")

from PIL import Image

from deft_env.rigs.real.calibration import sheets
from deft_env.rigs.real.calibration.fiducial import Board, detect_markers
from deft_env.rigs.real.calibration.joint_markers import MarkerConfig, markers_of
from deft_experiments.cli import main

PX_PER_MM = 8.0
MM_PER_POINT = 25.4 / 72.0
_NUMBER = rb"(-?[\d.]+)"
_PLACED = re.compile(
    rb"q 1 0 0 1 " + rb" ".join([_NUMBER] * 2) + rb" cm " + rb"\s+".join([_NUMBER] * 6) + rb" cm /(I\d+) Do"
)


def _picture(pdf: bytes, name: bytes) -> NDArray[np.uint8]:
    """An image of the file: its stream is that of a PNG with one bit a pixel and a palette."""
    found = re.search(rb"/" + name + rb" (\d+) 0 R", pdf)
    assert found
    start = re.search(rb"\n" + found[1] + rb" 0 obj\n(.*?)stream\r?\n", pdf, re.DOTALL)
    assert start
    head = start[1]
    width, height = (int(re.search(rb"/" + key + rb" (\d+)", head)[1]) for key in (b"Width", b"Height"))  # type: ignore[index]
    palette = re.search(rb"/Indexed /DeviceRGB 1 \((.{6})\)", head, re.DOTALL)
    assert palette
    assert b"/BitsPerComponent 1 " in head
    data = pdf[start.end() : pdf.index(b"endstream", start.end())]

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 1, 3, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"PLTE", palette[1]) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return np.asarray(Image.open(io.BytesIO(b"\x89PNG\r\n\x1a\n" + parts)).convert("L"))


def _printed(path: Path) -> tuple[NDArray[np.uint8], list[tuple[float, float]]]:
    """The page's pictures as they would be printed, (h, w, 3), and their sizes in mm."""
    pdf = path.read_bytes()
    box = re.search(rb"/MediaBox \[ 0 0 " + _NUMBER + rb" " + _NUMBER + rb" \]", pdf)
    assert box
    wide, high = (float(x) * MM_PER_POINT for x in box.groups())
    assert (wide, high) == pytest.approx((210.0, 297.0), abs=1e-3)
    contents = b""
    for stream in re.finditer(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        try:
            contents += zlib.decompress(stream[1])
        except zlib.error:
            continue
    page = np.full((round(high * PX_PER_MM), round(wide * PX_PER_MM)), 255, dtype=np.uint8)
    sizes = []
    for at_x, at_y, width, _, _, down, dx, dy, name in _PLACED.findall(contents):
        # A PDF puts the first row of a picture at the top, where the matrix does not mirror; this one does.
        assert float(down) == pytest.approx(-float(dy), abs=1e-3)
        w, h = float(width) * MM_PER_POINT, float(dy) * MM_PER_POINT
        left, top = (float(at_x) + float(dx)) * MM_PER_POINT, high - float(at_y) * MM_PER_POINT - h
        x, y = round(left * PX_PER_MM), round(top * PX_PER_MM)
        picture = Image.fromarray(_picture(pdf, name)[::-1]).resize((round(w * PX_PER_MM), round(h * PX_PER_MM)))
        page[y : y + picture.height, x : x + picture.width] = np.asarray(picture)
        sizes.append((w, h))
    return np.repeat(page[:, :, None], 3, axis=2), sizes


def test_the_board_is_found_on_the_page_in_true_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "board.pdf"
    assert main(["calibrate", "camera", "--sheet", str(path)]) == 0
    assert "100 mm" in capsys.readouterr().err
    page, sizes = _printed(path)
    assert sizes == [pytest.approx((100.0, 80.0), abs=1e-3)], "5 x 4 squares of 20 mm"
    found = Board().detect(page)
    assert found is not None
    corners_px, points_m = found
    assert len(corners_px) == 12, "every inner corner"
    apart_px = corners_px - corners_px[0]
    apart_m = points_m[:, :2] - points_m[0, :2]
    assert np.abs(apart_px / PX_PER_MM - 1e3 * apart_m).max() < 0.1, "upright, and true to a tenth of a millimetre"


@pytest.mark.parametrize("fingers", [("index", "middle", "ring", "thumb"), ("thumb",)])
def test_every_link_has_its_marker(fingers: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "hand.pdf"
    assert main(["calibrate", "hand", "--sheet", str(path), "--marker-m", "0.018", "--fingers", *fingers]) == 0
    page, sizes = _printed(path)
    config = MarkerConfig(size_m=0.018)
    links = markers_of(fingers)
    assert sizes == [pytest.approx((18.0, 18.0), abs=1e-3)] * len(links)
    # A camera that sees the page flat, one metre away.
    K = np.array([[1e3 * PX_PER_MM, 0.0, 0.0], [0.0, 1e3 * PX_PER_MM, 0.0], [0.0, 0.0, 1.0]])
    found = detect_markers(page, K, config.size_m, config.dictionary)
    assert set(found) == {config.ids[link] for link in links}
    upright = np.diag([1.0, -1.0])
    for placed in sheets.place_markers(config, fingers):
        T = found[config.ids[placed.name]][0].T_cam_marker
        middle = 1e-3 * np.array([placed.left_mm + 9.0, placed.top_mm + 9.0])
        assert T[:2, 3] == pytest.approx(middle, abs=5e-4), placed.name
        assert T[2, 3] == pytest.approx(1.0, rel=0.02), "its size"
        # How a flat little square tilts cannot be seen from afar, how it turns can.
        assert np.abs(T[:2, :2] - upright).max() < 0.1, "x to the right, where the arrow points"


def test_the_ruler_is_as_long_as_it_says_and_labels_name_the_links() -> None:
    figure = sheets.marker_sheet(MarkerConfig())
    (ax,) = figure.axes
    (ruler,) = [line for line in ax.lines if line.get_gid() == "ruler"]
    ends_in = figure.dpi_scale_trans.inverted().transform(ax.transData.transform(ruler.get_xydata()))
    assert 25.4 * np.ptp(ends_in[:, 0]) == pytest.approx(sheets.RULER_MM)
    texts = [text.get_text() for text in ax.texts]
    config = MarkerConfig()
    for placed in sheets.place_markers(config):
        label = next(t for t in ax.texts if t.get_text() == f"{config.ids[placed.name]}  {placed.name}")
        assert label.get_position()[0] == pytest.approx(placed.left_mm + 0.5 * placed.width_mm), "under its marker"
    assert any(config.dictionary in text and "16 mm" in text for text in texts)


def test_the_same_sheet_is_the_same_file(tmp_path: Path) -> None:
    for name in ("a.pdf", "b.pdf"):
        sheets.save(sheets.board_sheet(Board()), tmp_path / name)
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["camera", "--sheet", "board.png"], "ends in .pdf"),
        (["camera", "--sheet", "board.pdf", "--square-m", "0.05"], "an A4 page has room for"),
        (["camera", "--sheet", "board.pdf", "--marker-m", "0.03"], "smaller than squares"),
        (["hand", "--sheet", "hand.pdf", "--marker-m", "0.05"], "an A4 page has room for"),
        (["hand", "--sheet", "hand.pdf", "--marker-m", "-0.01"], "size_m: expected"),
        (["hand", "--sheet", "no/such/folder/hand.pdf"], "--sheet: "),
        (["hand"], "--rig-config rig.yaml is missing"),
    ],
)
def test_what_cannot_be_printed_is_said(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["calibrate", *words]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
