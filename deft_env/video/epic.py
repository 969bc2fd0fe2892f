"""EPIC-KITCHENS-100: the published annotation CSV and hand-object detections."""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path
from typing import Final

from deft_env.video import epic_protobuf, unpickle
from deft_env.video.folder import FolderDataset
from deft_env.video.records import Clip, HandBox, ObjectBox, UnreadableError, inside, read_image

COLUMNS: Final = ("narration_id", "video_id", "start_frame", "stop_frame", "narration")
SIZE_PX: Final = (456.0, 256.0)
"""Size of the published frames, which the published detections were made on."""


@lru_cache(maxsize=4)
def _detections(path: Path, width: float, height: float) -> dict[int, tuple[list[HandBox], list[ObjectBox]]]:
    try:
        messages = unpickle.load(path, unpickle.NOTHING)
    except (OSError, ValueError) as error:
        raise UnreadableError(f"{path}: {error}") from None
    if not isinstance(messages, list) or not all(isinstance(m, bytes) for m in messages):
        raise UnreadableError(f"{path}: expected a list of messages")
    out = {}
    for message in messages:
        _, frame, hands, objects = epic_protobuf.decode(message, width, height)
        out[frame] = (hands, objects)
    return out


class EpicKitchens(FolderDataset):
    """``<root>/EPIC_100_train.csv`` (and validation), ``<root>/hand-objects/<video>.pkl``, the rest as in ``folder``.

    Frame numbers are the CSV's, which count extracted pictures, not the native rate.
    """

    name = "epic-kitchens"

    def clips(self) -> list[Clip]:
        """One clip for each row.

        Raises:
            FileNotFoundError: if there is no CSV.
            ValueError: if a CSV lacks a column.
        """
        paths = sorted(self.root.glob("EPIC_100_*.csv"))
        paths = [p for p in paths if "video_info" not in p.name and "classes" not in p.name]
        if not paths:
            raise FileNotFoundError(f"root: no EPIC_100_train.csv in {self.root}")
        out: list[Clip] = []
        for path in paths:
            with path.open(encoding="utf-8", newline="") as file:
                reader = csv.DictReader(file)
                missing = set(COLUMNS) - set(reader.fieldnames or ())
                if missing:
                    raise ValueError(f"{path}: the columns {sorted(missing)} are missing (the test split has none)")
                for row in reader:
                    try:
                        start, stop = int(row["start_frame"]), int(row["stop_frame"])
                    except (TypeError, ValueError):
                        self.skipped["broken annotation"] += 1
                        continue
                    out.append(Clip(row["narration_id"], row["video_id"], start, stop, row["narration"] or ""))
        return out

    def _frame(self, clip: Clip, frame: int) -> tuple[list[HandBox], list[ObjectBox]]:
        width, height = SIZE_PX
        folder = inside(self.root, "frames", clip.video)
        first = folder / f"frame_{clip.start:010d}.jpg"
        if first.is_file():
            height, width = (float(n) for n in read_image(first).shape[:2])
        known = _detections(inside(self.root, "hand-objects", f"{clip.video}.pkl"), width, height)
        return known.get(frame, ([], []))

    def hands(self, clip: Clip, frame: int) -> list[HandBox]:
        """From ``hand-objects/``."""
        return self._frame(clip, frame)[0]

    def touched(self, clip: Clip, frame: int) -> list[ObjectBox]:
        """From ``hand-objects/``."""
        return self._frame(clip, frame)[1]
