"""What the oracle is worth: the same view with it and without, in equal time, in dB."""

from __future__ import annotations

import math

from donerf.evaluation.metrics import psnr
from donerf.renderer import Placement, StageTimes
from viewer.render_modes import RenderMode
from viewer.rendering import Picture


def samples_without_oracle(samples: int, times: StageTimes, times_samples: int) -> int:
    """How many samples a ray can have in the same time when nobody is asked where they go.

    times:  of a frame with the oracle and `times_samples` samples per ray
    """
    per_sample = (times.placement_ms + times.shading_ms + times.composite_ms) / times_samples
    if per_sample <= 0:
        return samples
    return samples + math.floor(times.oracle_ms / per_sample)


class OracleGap:
    """Keeps the last full picture of each placement, and compares the two."""

    def __init__(self) -> None:
        self._pictures: dict[Placement, Picture] = {}

    def take(self, picture: Picture) -> None:
        """Note a full picture with the asked number of samples and one pass."""
        if picture.request.mode is RenderMode.COLOR:
            self._pictures[picture.request.placement] = picture

    @property
    def sentence(self) -> str:
        """What there is to say; empty until both pictures of one view are there."""
        ours, plain = self._pictures.get("oracle"), self._pictures.get("uniform")
        if ours is None or plain is None or not _is_same_view(ours, plain):
            return ""
        counts = f"S = {ours.request.samples} with the oracle"
        counts_plain = f"S = {plain.request.samples} without, in equal time"
        if ours.psnr is None or plain.psnr is None:
            between = psnr(ours.pixels[..., :3], plain.pixels[..., :3])
            return f"{counts} and {counts_plain}: {between:.2f} dB between the two pictures"
        gap = ours.psnr - plain.psnr
        return (
            f"{counts}: {ours.psnr:.2f} dB; {counts_plain}: {plain.psnr:.2f} dB; "
            f"the oracle gains {gap:+.2f} dB"
        )


def _is_same_view(a: Picture, b: Picture) -> bool:
    same_pose = (
        a.request.camera.world_from_camera.tobytes() == b.request.camera.world_from_camera.tobytes()
    )
    return same_pose and a.request.camera.intrinsics == b.request.camera.intrinsics
