"""Batches of rays, drawn on the device from a data set that sits in memory once.

Depth is kept as 16-bit codes of normalized unified depth: finer than 1/500 of a bin, and in the
space in which the oracle is asked.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from donerf.config import Config, Placement
from donerf.data.dataset import Dataset, load_dataset
from donerf.geometry.depth import s_from_t, t_from_s
from donerf.geometry.rays import Rays
from donerf.geometry.view_cell import ViewCell
from donerf.model.placement import true_bin_probs, uniform_probs
from donerf.training.hard_rays import ErrorMap

_CODES = 65534
_BACKGROUND_CODE = 32767
_FARTHEST_SURFACE = 1 - 1e-6
_VISIBILITY_STEPS = 12
_LOOKS_THAT_WAY = 0.8
"""Least cosine between a camera's axis and a ray for the ray to lie in about its picture."""
_VISIBILITY_MARGIN = 0.01
"""Normalized depth by which a point must lie behind a surface to count as hidden by it."""


@dataclass(frozen=True)
class Batch:
    """Rays with what is known about them.

    rays:     R rays from their cameras, or from moved origins
    colors:   (R, 3) float32 sRGB in [0, 1]
    s:        (R,) normalized unified depth; 1 for the background
    pixels:   (R,) flat index of the pixel that each ray came from
    s_moved:  (R,) what moving the origin added to s
    """

    rays: Rays
    colors: Tensor
    s: Tensor
    pixels: Tensor
    s_moved: Tensor

    def joined(self, other: Batch) -> Batch:
        """The rays of both, one after the other."""
        names = ("colors", "s", "pixels", "s_moved")
        origins = torch.cat((self.rays.origins, other.rays.origins))
        directions = torch.cat((self.rays.directions, other.rays.directions))
        parts = [torch.cat((getattr(self, name), getattr(other, name))) for name in names]
        return Batch(Rays(origins, directions), *parts)

    def given_probs(self, placement: Placement, bins: int) -> Tensor | None:
        """The distribution in the oracle's place, (R, B); None asks the oracle."""
        if placement == "oracle":
            return None
        if placement == "uniform":
            return uniform_probs(len(self.s), bins, self.s.device)
        return true_bin_probs(self.s, bins)


class RayBank:
    """All pixels of a data set on one device.

    dataset:  every view with a depth map
    """

    def __init__(self, dataset: Dataset, cell: ViewCell, device: torch.device) -> None:
        self.cell, self.device = cell, device
        self.views, self.height, self.width = dataset.colors.shape[:3]
        self.colors = dataset.colors.reshape(-1, 3).to(device)
        intrinsics = [camera.intrinsics for camera in dataset.cameras]
        self.focal = torch.tensor([k.focal for k in intrinsics], device=device)
        self.center_x = torch.tensor([k.center_x for k in intrinsics], device=device)
        self.center_y = torch.tensor([k.center_y for k in intrinsics], device=device)
        poses = torch.stack([torch.from_numpy(c.world_from_camera) for c in dataset.cameras])
        self.poses = poses[:, :3].float().to(device)
        if dataset.distances is None:
            raise ValueError(
                f"training needs a depth map for every view, the '{dataset.split}' views of this "
                "data set have none; export depth with the renders, or take a scene that has it"
            )
        codes = [
            encode_depth(camera.rays(), distance.flatten(), cell)
            for camera, distance in zip(dataset.cameras, dataset.distances, strict=True)
        ]
        self.codes = torch.stack(codes).flatten().to(device)
        assert self.codes.numel() == self.views * self.height * self.width

    def __len__(self) -> int:
        return self.codes.numel()

    def error_map(self, hard_rays: float) -> ErrorMap | None:
        """Remembers errors at these pixels; None where no ray is drawn by them."""
        if hard_rays == 0:
            return None
        return ErrorMap((self.views, self.height, self.width), hard_rays, self.device)

    def draw(
        self,
        rays: int,
        generator: torch.Generator,
        moved_share: float,
        moved_distance: float,
        errors: ErrorMap | None = None,
    ) -> Batch:
        """Rays through random pixels; some of them look at their surface from elsewhere.

        errors:  where pixels are drawn more often; None: all alike
        """
        if errors is None:
            pixels = torch.randint(len(self), (rays,), device=self.device, generator=generator)
        else:
            pixels = errors.draw(rays, generator)
        batch = self.batch_of(pixels)
        moved = int(rays * moved_share)
        if moved == 0 or moved_distance == 0:
            return batch
        return self._move(batch, moved, moved_distance, generator)

    def batch_of(self, pixels: Tensor) -> Batch:
        """The rays of given pixels, from their own cameras.

        pixels:  (R,) flat index (view * H + row) * W + column
        """
        column = pixels % self.width
        row = (pixels // self.width) % self.height
        view = pixels // (self.width * self.height)
        directions = torch.stack(
            (
                (column + 0.5 - self.center_x[view]) / self.focal[view],
                (self.center_y[view] - row - 0.5) / self.focal[view],
                -torch.ones_like(self.focal[view]),
            ),
            dim=-1,
        )
        poses = self.poses[view]
        directions = (poses[:, :, :3] @ directions[..., None])[..., 0]
        directions = directions / directions.norm(dim=-1, keepdim=True)
        s = self.depth_of(pixels)
        colors = self.colors[pixels].float() / 255
        return Batch(Rays(poses[:, :, 3], directions), colors, s, pixels, torch.zeros_like(s))

    def depth_of(self, pixels: Tensor) -> Tensor:
        """Normalized unified depth of pixels of any shape; exactly 1 for the background."""
        return decode_depth(self.codes[pixels])

    def neighborhood(self, batch: Batch, size: int) -> Tensor:
        """Normalized depths of the size x size pixels around each ray's own, (R, size * size).

        A moved ray takes its neighbors along. Borders repeat.
        """
        offset = torch.arange(size, device=self.device) - size // 2
        column = batch.pixels % self.width
        row = (batch.pixels // self.width) % self.height
        first = batch.pixels - row * self.width - column
        columns = (column[:, None] + offset).clamp(0, self.width - 1)
        rows = (row[:, None] + offset).clamp(0, self.height - 1) * self.width
        pixels = first[:, None, None] + rows[:, :, None] + columns[:, None, :]
        s = self.depth_of(pixels.flatten(1))
        moved = (s + batch.s_moved[:, None]).clamp_max(_FARTHEST_SURFACE)
        return torch.where(s < 1, moved, s)

    def _move(self, batch: Batch, moved: int, distance: float, generator: torch.Generator) -> Batch:
        """Look at the surface points of the first `moved` rays from elsewhere in the cell.

        One pixel of a picture with depth is a surface point, and it is seen from all around its
        camera, not only from it. Few views then train the two networks as many would: what is
        learned is the scene, not the list of cameras. A surface's color is taken to be the same
        from both places, so the distance must be small. Rays whose new way would be blocked
        keep their old origin.
        """
        cell, own = self.cell, Rays(batch.rays.origins[:moved], batch.rays.directions[:moved])
        s = batch.s[:moved]
        is_background = s >= 1
        t = t_from_s(s, cell.unified_range, cell.log_scale) + cell.exit_distance(own)
        far = 10 * cell.depth_range[1]
        t = torch.where(is_background, far, t)
        points = own.origins + t[:, None] * own.directions

        lower, upper = own.origins.new_tensor(cell.lower), own.origins.new_tensor(cell.upper)
        step = torch.rand(moved, 3, device=self.device, generator=generator) * 2 - 1
        origins = own.origins + step * distance * (upper - lower)
        origins = torch.minimum(torch.maximum(origins, lower), upper)
        to_point = points - origins
        length = to_point.norm(dim=-1, keepdim=True)
        new = Rays(origins, to_point / length)

        new_t = length[:, 0] - cell.exit_distance(new)
        new_s = s_from_t(new_t, cell.unified_range, cell.log_scale)
        own_view = batch.pixels[:moved] // (self.width * self.height)
        is_hidden = self._is_behind(self._way(new, length[:, 0]), own_view).any(-1)
        is_hidden |= self._is_behind(points[:, None], self._nearest_view(new))[:, 0]
        keeps = ~is_hidden
        new_s = torch.where(is_background | ~keeps, s, new_s)
        rays = Rays(
            torch.cat(
                (torch.where(keeps[:, None], origins, own.origins), batch.rays.origins[moved:])
            ),
            torch.cat(
                (
                    torch.where(keeps[:, None], new.directions, own.directions),
                    batch.rays.directions[moved:],
                )
            ),
        )
        all_s = torch.cat((new_s, batch.s[moved:]))
        return Batch(rays, batch.colors, all_s, batch.pixels, all_s - batch.s)

    def _way(self, rays: Rays, length: Tensor) -> Tensor:
        """Places on the way to surface points, `length` (R,) along the rays; (R, K, 3).

        In equal steps of inverse distance, which are about equal steps in a camera's picture.
        """
        k = (torch.arange(_VISIBILITY_STEPS, device=self.device) + 0.5) / _VISIBILITY_STEPS
        nearest = length.clamp_max(self.cell.depth_range[0])[:, None]
        return rays.at(1 / ((1 - k) / length[:, None] + k / nearest))

    def _nearest_view(self, rays: Rays) -> Tensor:
        """The view whose camera stands nearest to each ray's origin and looks its way; (R,).

        In edges of the cell, along the axis that is farthest. Where no camera looks that way, the
        nearest one.
        """
        cell = self.cell
        edges = self.poses.new_tensor(cell.upper) - self.poses.new_tensor(cell.lower)
        away = torch.cdist(rays.origins / edges, self.poses[:, :, 3] / edges, p=float("inf"))
        looks = rays.directions @ -self.poses[:, :, 2].T
        return (away + (looks < _LOOKS_THAT_WAY)).argmin(-1)

    def _is_behind(self, places: Tensor, view: Tensor) -> Tensor:
        """Whether places lie behind a surface that a camera saw; not, where it did not look.

        places:   (R, K, 3);  view: (R,) the camera that is asked about each row
        returns:  (R, K) bool
        """
        cell, pose = self.cell, self.poses[view]
        offset = places - pose[:, None, :, 3]
        local = offset @ pose[:, :, :3]  # camera axes
        scale = self.focal[view, None] / (-local[..., 2]).clamp_min(1e-6)
        column = (self.center_x[view, None] + local[..., 0] * scale).floor()
        row = (self.center_y[view, None] - local[..., 1] * scale).floor()
        is_seen = (column >= 0) & (column < self.width) & (row >= 0) & (row < self.height)
        is_seen &= local[..., 2] < 0
        row = row.nan_to_num().clamp(0, self.height - 1).long()
        column = column.nan_to_num().clamp(0, self.width - 1).long()
        surface = self.depth_of((view[:, None] * self.height + row) * self.width + column)

        distance = offset.norm(dim=-1)
        along = Rays(
            pose[:, None, :, 3].expand_as(offset).flatten(0, 1),
            (offset / distance.clamp_min(1e-9)[..., None]).flatten(0, 1),
        )
        t = distance - cell.exit_distance(along).view_as(distance)
        s = s_from_t(t, cell.unified_range, cell.log_scale)
        return is_seen & (surface < s - _VISIBILITY_MARGIN)


def load_banks(
    config: Config, device: torch.device, need_depth: bool = False
) -> tuple[RayBank, RayBank]:
    """The training and the validation views of a config's scene, in the cell of the first.

    need_depth:  say that it is missing while the data set is read, in the reader's words
    """
    scene = config.scene
    # The banks hold what is needed, with depth in a quarter of the memory of the views.
    views, held_out = (
        load_dataset(scene.folder, split, scene.downscale, need_depth=need_depth)
        for split in ("train", "val")
    )
    cell = views.info.view_cell(config.cell)
    return RayBank(views, cell, device), RayBank(held_out, cell, device)


def encode_depth(rays: Rays, distance: Tensor, cell: ViewCell) -> Tensor:
    """Distances along camera rays as 16-bit codes of normalized unified depth; (R,) int16."""
    t = distance - cell.exit_distance(rays)
    s = s_from_t(t, cell.unified_range, cell.log_scale)
    code = (s * _CODES).round() - 32768
    return torch.where(distance.isfinite(), code, float(_BACKGROUND_CODE)).to(torch.int16)


def decode_depth(codes: Tensor) -> Tensor:
    """Normalized unified depth; 1 for the background, which no surface reaches."""
    s = (codes.float() + 32768) / _CODES
    return s.clamp_max(1)
