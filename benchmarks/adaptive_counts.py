"""What a ray's samples are worth by how sure the oracle is; where the adaptive rule comes from.

    python benchmarks/adaptive_counts.py --data data --out benchmarks/results/adaptive_counts.json

On validation views: rays are sorted into groups by the width of their depth distribution; each
group's mean squared error is measured with each number of samples. A price per sample then says
how many samples a group is worth, and one price for both scenes says what that costs and gives.
Takes some minutes.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from donerf.backends.sample_counts import EXTENT, SHARES, SPREADS
from donerf.data.dataset import load_dataset
from donerf.files import write_atomically
from donerf.model.pipeline import render_rays
from donerf.model.placement import place_samples, quantiles
from donerf.scene_file import load_scene

ROOT = Path(__file__).resolve().parent.parent
SCENES = ("courtyard", "living_room")
COUNTS = (1, 2, 3, 4, 6, 8)
ASKED = 4
"""Samples a ray that the rule is compared with."""
EDGES = (1.9, 2.25, 2.3, 2.35, 2.4, 2.5, 2.6, 2.8, 3.0, 3.5, 4.0, 6.0, 10.0)
"""Bounds of the groups, in bins."""
EVERY = 3
"""Pixel that is looked at."""
PRICES = (2e-5, 3e-5, 4e-5, 5e-5, 6e-5, 8e-5, 1e-4)
"""Squared error that a sample must save."""


@dataclass(frozen=True)
class Groups:
    """share: (G,) of the rays;  errors: (counts, G) mean squared error of each group."""

    share: Tensor
    errors: Tensor


def main() -> None:
    """Measure both scenes, then try prices."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    groups = {name: measure(name, arguments.data / name) for name in SCENES}
    report = {
        "split": "val",
        "counts": COUNTS,
        "edges_in_bins": EDGES,
        "scenes": {
            name: {"share": g.share.tolist(), "errors": g.errors.tolist()}
            for name, g in groups.items()
        },
        "prices": [price_row(price, groups) for price in PRICES],
        "rule": rule_row(groups),
    }
    text = json.dumps(report, indent=1)
    write_atomically(arguments.out, lambda beside: beside.write_text(text, encoding="utf-8"))
    for row in (*report["prices"], report["rule"]):
        print(json.dumps(row))


@torch.inference_mode()
def measure(name: str, data: Path) -> Groups:
    """Errors of a scene's validation rays by group and count."""
    scene_cell = load_scene(ROOT / "assets" / f"{name}.donerf").cells[0]
    cell, networks = scene_cell.cell, scene_cell.networks
    views = load_dataset(data, "val")
    edges = torch.tensor(EDGES)
    rays_in = torch.zeros(len(EDGES) + 1)
    errors = torch.zeros(len(COUNTS), len(EDGES) + 1)
    for view, camera in enumerate(views.cameras):
        chosen = slice(view % EVERY, None, EVERY)
        rays = camera.rays()[chosen]
        truth = views.colors[view].reshape(-1, 3)[chosen].float() / 255
        probs = None
        for row, count in enumerate(COUNTS):
            combs = networks.combs_of(count)
            u = quantiles(len(rays), count, torch.device("cpu"), combs)
            rendered = render_rays(rays, cell, networks, u, probs)
            probs = rendered.bin_probs
            extent = place_samples(probs, torch.tensor(EXTENT).expand(len(rays), -1), cell).s
            group = torch.bucketize((extent[:, 1] - extent[:, 0]) * probs.shape[1], edges)
            error = (rendered.composite.color - truth).square().mean(-1)
            errors[row].index_add_(0, group, error)
            if row == 0:
                rays_in.index_add_(0, group, torch.ones(len(rays)))
    return Groups(rays_in / rays_in.sum(), errors / rays_in.clamp_min(1))


def price_row(price: float, groups: dict[str, Groups]) -> dict[str, object]:
    """The counts that one price gives, and what they cost and change in each scene."""
    counts = torch.tensor(COUNTS, dtype=torch.float32)
    together = torch.stack([g.share * g.errors for g in groups.values()]).sum(0)
    share = torch.stack([g.share for g in groups.values()]).sum(0)
    best = (together + price * counts[:, None] * share).argmin(0)
    return {"price": price} | scored(best, groups)


def rule_row(groups: dict[str, Groups]) -> dict[str, object]:
    """The same of the program's own rule, whose spreads are bounds of groups."""
    share = torch.bucketize(torch.tensor((0.0, *EDGES)), torch.tensor(SPREADS), right=True)
    counts = [round(SHARES[i] * ASKED) for i in share.tolist()]
    return scored(torch.tensor([COUNTS.index(count) for count in counts]), groups)


def scored(best: Tensor, groups: dict[str, Groups]) -> dict[str, object]:
    """Counts of the groups, (G,) indices of COUNTS, with what they cost and change."""
    counts = torch.tensor(COUNTS, dtype=torch.float32)
    row: dict[str, object] = {"counts": counts[best].int().tolist()}
    for name, g in groups.items():
        error = float((g.share * g.errors.gather(0, best[None])[0]).sum())
        asked = float((g.share * g.errors[COUNTS.index(ASKED)]).sum())
        row[name] = {
            "mean_samples": round(float((g.share * counts[best]).sum()), 2),
            "db_against_asked": round(-10 * math.log10(error / asked), 3),
        }
    return row


if __name__ == "__main__":
    main()
