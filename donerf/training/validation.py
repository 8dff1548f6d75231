"""Quick looks at the validation views during training; the test views are for `evaluate`."""

from __future__ import annotations

import math

import torch

from donerf.config import Placement, TargetSettings
from donerf.geometry.depth import s_from_t
from donerf.model.nerf import NerfNetworks, render_nerf_rays
from donerf.model.pipeline import expect_depth, render_rays
from donerf.model.placement import place_samples, quantiles
from donerf.scene_file import SceneCell
from donerf.training.batches import RayBank
from donerf.training.losses import answer_loss

_RAYS = 16_384
_TILE = 8192
_NERF_TILE = 512


def _fixed_pixels(bank: RayBank) -> torch.Tensor:
    """The same pixels, spread over all views, at every look."""
    # In double precision: the indices of a large set are no float32 numbers.
    count = min(_RAYS, len(bank))
    places = torch.linspace(0, len(bank) - 1, count, dtype=torch.float64, device=bank.device)
    return places.long()


@torch.inference_mode()
def oracle_quality(
    scene_cell: SceneCell, bank: RayBank, targets: TargetSettings, device: torch.device
) -> dict[str, float]:
    """Loss, and the share of rays with one of 4 samples within 2 bins of the surface."""
    cell, oracle = scene_cell.cell, scene_cell.networks.oracle.to(device)
    loss, hits, total = 0.0, 0, 0
    for pixels in _fixed_pixels(bank).split(_TILE):
        batch = bank.batch_of(pixels)
        unified, bins = cell.unify(batch.rays), oracle.settings.bins
        logits = oracle(unified, cell)
        error = answer_loss(logits, batch, bank, oracle.settings, targets)
        loss += float(error.sum())
        bin_probs = expect_depth(unified, cell, oracle)
        samples = place_samples(bin_probs, quantiles(len(pixels), 4, device), cell)
        s = s_from_t(samples.t, cell.unified_range, cell.log_scale)
        near = (s - batch.s[:, None]).abs().amin(-1) < 2 / bins
        hits += int(near.sum())
        total += len(pixels)
    return {"loss": loss / total, "hit": hits / total}


@torch.inference_mode()
def shading_quality(
    scene_cell: SceneCell,
    bank: RayBank,
    sample_counts: tuple[int, ...],
    device: torch.device,
    placement: Placement = "oracle",
) -> dict[str, float]:
    """PSNR over rays of the validation views, for each sample count; repeated ones count once."""
    cell, networks = scene_cell.cell, scene_cell.networks
    assert networks.shading is not None
    networks.oracle.to(device)
    networks.shading.to(device)
    errors = dict.fromkeys(sample_counts, 0.0)
    pixels = _fixed_pixels(bank)
    for tile in pixels.split(_TILE):
        batch = bank.batch_of(tile)
        bin_probs = batch.given_probs(placement, networks.oracle.settings.bins)
        if bin_probs is None:
            bin_probs = expect_depth(cell.unify(batch.rays), cell, networks.oracle)
        for samples in errors:
            u = quantiles(len(tile), samples, device, networks.combs_of(samples))
            rendered = render_rays(batch.rays, cell, networks, u, bin_probs)
            error = (rendered.composite.color - batch.colors).square().mean(-1)
            errors[samples] += float(error.sum())
    return {str(s): -10 * math.log10(error / len(pixels)) for s, error in errors.items()}


@torch.inference_mode()
def nerf_quality(scene_cell: SceneCell, bank: RayBank, device: torch.device) -> float:
    """PSNR over the same rays of the validation views; each is asked 256 times."""
    networks = scene_cell.model
    assert isinstance(networks, NerfNetworks)
    networks.to(device)
    pixels = _fixed_pixels(bank)
    error = 0.0
    for tile in pixels.split(_NERF_TILE):
        batch = bank.batch_of(tile)
        color = render_nerf_rays(batch.rays, scene_cell.cell, networks).fine.color
        error += float((color - batch.colors).square().mean(-1).sum())
    return -10 * math.log10(error / len(pixels))
