"""How many moved training rays see through something? Depth maps of other views tell.

    python benchmarks/moved_rays.py configs/courtyard.toml configs/living_room.toml

Moves rays of the training views to where the cameras of the validation views stand, and asks these
views' depth maps whether the surface point is seen from there: by the rule of the training, and by
the own view alone. Writes benchmarks/results/moved_rays.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from donerf.config import Config, load_config
from donerf.data.dataset import load_dataset
from donerf.evaluation.quality import write_report
from donerf.geometry.depth import s_from_t, t_from_s
from donerf.geometry.rays import Rays
from donerf.training.batches import RayBank

RAYS = 20_000
"""From each validation view's place."""
DISTANCES = ((0.0, 0.15), (0.15, 0.3), (0.3, 1.0))
"""Of the moves, along the axis that is farthest, in edges of the cell."""
SAME_DEPTH = 0.008
"""Normalized depth, about a bin of the oracle."""
CPU = torch.device("cpu")


def main() -> None:
    """Measure each scene, write one report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("configs", type=Path, nargs="+")
    parser.add_argument("--downscale", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    rows = [
        row for path in arguments.configs for row in measure(load_config(path), arguments.downscale)
    ]
    write_report(
        {"downscale": arguments.downscale, "rows": rows}, arguments.out / "moved_rays.json"
    )
    for row in rows:
        print(row)


def measure(config: Config, downscale: int) -> list[dict[str, Any]]:
    """Shares of rays that see through something, by the distance that they were moved."""
    banks = {}
    for split in ("train", "val"):
        views = load_dataset(config.scene.folder, split, downscale, need_depth=True)
        banks[split] = RayBank(views, views.info.view_cell(config.cell), CPU)
    known, asked = banks["train"], banks["val"]
    moves, visible, kept, by_own = (
        torch.cat(part) for part in zip(*_looks(known, asked), strict=True)
    )
    rows = []
    for least, most in DISTANCES:
        here = (moves >= least) & (moves < most)
        rows.append(
            {
                "scene": config.scene.folder.name,
                "moved": [least, most],
                "rays": int(here.sum()),
                "own_view_alone": _shares(by_own[here], visible[here]),
                "and_the_nearest": _shares(kept[here], visible[here]),
            }
        )
    return rows


def _shares(kept: Tensor, visible: Tensor) -> dict[str, float]:
    """Of the rays that a rule keeps, how many are wrong; of the right ones, how many it keeps."""
    return {
        "wrong": round(float((kept & ~visible).sum() / kept.sum()), 4),
        "kept": round(float((kept & visible).sum() / visible.sum()), 4),
    }


def _looks(known: RayBank, asked: RayBank) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """For each asked view: how far rays were moved, (N,), and three (N,) bool: the truth, rules."""
    generator = torch.Generator().manual_seed(0)
    cell = known.cell
    edges = torch.tensor(cell.upper) - torch.tensor(cell.lower)
    for view in range(asked.views):
        pixels = torch.randint(len(known), (RAYS,), generator=generator)
        own = known.batch_of(pixels)
        t = t_from_s(own.s, cell.unified_range, cell.log_scale) + cell.exit_distance(own.rays)
        points = own.rays.at(t[:, None])[:, 0]
        eye = asked.poses[view, :, 3].expand(RAYS, -1)
        length = (points - eye).norm(dim=-1)
        new = Rays(eye, (points - eye) / length[:, None])
        is_seen, is_visible = _is_visible(asked, view, points, new, length)
        chosen = is_seen & (own.s < 1)
        own_view = pixels // (known.width * known.height)
        by_own = ~known._is_behind(known._way(new, length), own_view).any(-1)
        kept = by_own & ~known._is_behind(points[:, None], known._nearest_view(new))[:, 0]
        moves = ((eye - own.rays.origins).abs() / edges).amax(-1)
        yield moves[chosen], is_visible[chosen], kept[chosen], by_own[chosen]


def _is_visible(
    bank: RayBank, view: int, points: Tensor, rays: Rays, length: Tensor
) -> tuple[Tensor, Tensor]:
    """Whether points lie in a view's picture, and whether it shows them; (N,) bool both.

    One of the 3x3 pixels around it has the point's depth: pixels beside an edge may have either.
    """
    local = (points - bank.poses[view, :, 3]) @ bank.poses[view, :, :3]
    scale = bank.focal[view] / (-local[:, 2]).clamp_min(1e-6)
    column = (bank.center_x[view] + local[:, 0] * scale).floor()
    row = (bank.center_y[view] - local[:, 1] * scale).floor()
    is_seen = (column >= 0) & (column < bank.width) & (row >= 0) & (row < bank.height)
    is_seen &= local[:, 2] < 0
    cell = bank.cell
    s = s_from_t(length - cell.exit_distance(rays), cell.unified_range, cell.log_scale)
    row = row.clamp(0, bank.height - 1).long()
    column = column.clamp(0, bank.width - 1).long()
    center = bank.batch_of((view * bank.height + row) * bank.width + column)
    depths = bank.neighborhood(center, 3)
    return is_seen, ((depths - s[:, None]).abs() < SAME_DEPTH).any(-1)


if __name__ == "__main__":
    main()
