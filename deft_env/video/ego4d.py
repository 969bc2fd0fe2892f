"""Ego4D's forecasting hands and objects (FHO) annotations, version 2."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deft_env.video.folder import FolderDataset
from deft_env.video.records import Clip


def read_json(path: Path) -> Any:
    """A JSON file.

    Raises:
        FileNotFoundError: if it is missing.
        ValueError: if it is broken.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: no readable JSON ({error})") from None


class Ego4D(FolderDataset):
    """``<root>/fho_main.json``, pictures and detections as in ``folder`` (``<video>`` is the video's uid).

    The first contact is the annotated contact frame, or the frame of no return where that is missing.
    """

    name = "ego4d"

    def clips(self) -> list[Clip]:
        """One clip for each valid narrated action.

        Raises:
            FileNotFoundError: if ``fho_main.json`` is missing.
            ValueError: if it is not what it should be.
        """
        path = self.root / "fho_main.json"
        data = read_json(path)
        if not isinstance(data, Mapping) or not isinstance(data.get("videos"), list):
            raise ValueError(f"{path}: expected a list 'videos'")
        out: list[Clip] = []
        for video in data["videos"]:
            for interval in video.get("annotated_intervals") or []:
                if interval.get("redacted"):
                    self.skipped["redacted"] += 1
                    continue
                for action in interval.get("narrated_actions") or []:
                    clip = self._clip(str(video.get("video_uid")), action)
                    if clip is not None:
                        out.append(clip)
        return out

    def _clip(self, video: str, action: Mapping[str, Any]) -> Clip | None:
        valid = action.get("is_valid_action", True)
        if not valid or action.get("is_rejected") or action.get("is_invalid_annotation"):
            self.skipped["invalid action"] += 1
            return None
        critical = action.get("critical_frames") or {}
        contact = critical.get("contact_frame")
        contact = critical.get("pnr_frame") if contact is None else contact
        try:
            start, stop = int(action["start_frame"]), int(action["end_frame"])
            contact = None if contact is None else int(contact)
            uid = str(action["uid"])
        except (KeyError, TypeError, ValueError):
            self.skipped["broken annotation"] += 1
            return None
        if contact is not None and not start <= contact <= stop:
            self.skipped["contact outside the clip"] += 1
            return None
        return Clip(uid, video, start, stop, str(action.get("narration_text") or ""), contact)


def hand_points(frame: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Hands of one frame of ``fho_hands_<split>.json``: side -> point (x, y), px; they are points, not boxes.

    Empty where the frame is not annotated.
    """
    out: dict[str, tuple[float, float]] = {}
    for entry in frame.get("boxes") or []:
        for key, side in (("left_hand", "left"), ("right_hand", "right")):
            point = entry.get(key)
            if isinstance(point, list) and len(point) >= 2:
                out[side] = (float(point[0]), float(point[1]))
    return out
