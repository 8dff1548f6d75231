"""How a still picture gets better: full size, then more samples, then smooth edges, then rest."""

from __future__ import annotations

from dataclasses import dataclass

from viewer.resolution import ResolutionController

# The first pass looks through the middle of each pixel.
MAX_PASSES = 32


@dataclass(frozen=True)
class Refinement:
    """How good a picture is.

    rung:     of the resolution ladder, 0 is the full size
    samples:  per ray
    passes:   rendered with rays moved within their pixels, and averaged
    """

    rung: int
    samples: int
    passes: int = 1


@dataclass(frozen=True)
class SettlePlan:
    """Where settling leads.

    samples:          per ray until the picture has its full size, as while moving
    settled_samples:  per ray afterwards
    passes:           in the end
    """

    samples: int
    settled_samples: int
    passes: int


def next_refinement(
    shown: Refinement, plan: SettlePlan, resolution: ResolutionController
) -> Refinement | None:
    """What to render after `shown`; None when there is nothing left to gain."""
    rung = resolution.next_settling_rung(shown.rung)
    if rung is not None:
        return Refinement(rung, plan.samples)
    if shown.samples != plan.settled_samples:
        return Refinement(0, plan.settled_samples)
    if shown.passes < plan.passes:
        return Refinement(0, plan.settled_samples, shown.passes + 1)
    return None


def subpixel_offset(index: int) -> tuple[float, float]:
    """Where pass `index` looks through a pixel: (right, down) of its middle, each below 1/2.

    The Halton sequence in bases 2 and 3 fills the square evenly after any number of passes.
    """
    if index == 0:
        return (0.0, 0.0)
    return _radical_inverse(index, 2) - 0.5, _radical_inverse(index, 3) - 0.5


def best_samples(psnr: dict[str, float], counts: tuple[int, ...]) -> int:
    """The count that a scene was measured to look best with; the largest if none was measured.

    psnr:  dB by sample count, as a .donerf file has it
    """
    measured = [count for count in counts if str(count) in psnr]
    return max(measured, key=lambda count: psnr[str(count)]) if measured else max(counts)


def _radical_inverse(index: int, base: int) -> float:
    value, digit = 0.0, 1.0
    while index:
        digit /= base
        index, remainder = divmod(index, base)
        value += remainder * digit
    return value
