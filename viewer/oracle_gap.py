"""What the oracle is worth: the same view with it and without, at equal cost, in dB."""

from __future__ import annotations

from torch.nn import Linear

from donerf import Scene
from donerf.evaluation.metrics import psnr
from donerf.renderer import Placement
from viewer.render_modes import RenderMode
from viewer.rendering import Picture

_MULTIPLY_ADDS_PER_BYTE = 23
"""What is read from a hash grid takes as long: a sample of the courtyard costs 6.5 ms a picture
with a grid and 14.9 ms without, on a CPU (flights with 1 and 4 samples in docs/measured.md)."""


def oracle_cost(scene: Scene) -> float:
    """How many samples a ray could have instead of its question to the oracle.

    By the weights of their matrices, each of which is multiplied once, and by what is read from a
    hash grid: a time would depend on what else the machine does just then. 0 where there is no
    oracle or nothing is shaded.
    """
    if scene.metadata.kind != "donerf":
        return 0.0
    networks = scene.cells[0].networks
    if networks.shading is None:
        return 0.0
    oracle, shading = (
        sum(part.weight.numel() for part in network.modules() if isinstance(part, Linear))
        for network in (networks.oracle, networks.shading)
    )
    if networks.shading.grid is not None:
        shading += _MULTIPLY_ADDS_PER_BYTE * networks.shading.grid.bytes_per_point
    return oracle / shading


class OracleGap:
    """Keeps the last full picture of each placement, as long as the two compare.

    sentence:  what there is to say; empty until both pictures of one view are there
    """

    def __init__(self) -> None:
        self.sentence = ""
        self._pictures: dict[Placement, Picture] = {}
        self._basis: object = None

    def take(self, picture: Picture, chosen_samples: int) -> bool:
        """Note a full picture with one pass; True when it is the other one of a pair.

        chosen_samples:  of a ray that asks the oracle; without it there are more
        """
        request = picture.request
        if request.mode is not RenderMode.COLOR:
            return False
        camera = request.camera
        view = (camera.world_from_camera.tobytes(), camera.intrinsics)
        basis = (*view, request.generation, chosen_samples)
        if basis != self._basis:
            self._pictures.clear()
            self._basis = basis
        # The last one in the dictionary came last.
        is_other = request.placement not in list(self._pictures)[-1:]
        self._pictures.pop(request.placement, None)
        self._pictures[request.placement] = picture
        ours, plain = self._pictures.get("oracle"), self._pictures.get("uniform")
        self.sentence = _sentence(ours, plain) if ours is not None and plain is not None else ""
        return is_other and bool(self.sentence)


def _sentence(ours: Picture, plain: Picture) -> str:
    """What two pictures say, that differ in nothing but who placed the samples."""
    counts = f"S = {ours.mean_samples:.3g} with the oracle"
    counts_plain = f"S = {plain.request.samples} without, at equal cost"
    if ours.psnr is None or plain.psnr is None:
        between = psnr(ours.pixels[..., :3], plain.pixels[..., :3])
        return f"{counts} and {counts_plain}: {between:.2f} dB between the two pictures"
    gap = ours.psnr - plain.psnr
    return (
        f"{counts}: {ours.psnr:.2f} dB; {counts_plain}: {plain.psnr:.2f} dB; "
        f"the oracle gains {gap:+.2f} dB"
    )
