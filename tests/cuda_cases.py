"""Networks, a picture that no tile divides, and what the plain pipeline makes of both."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.testing import assert_close

from donerf import Camera, Intrinsics, ViewCell
from donerf.backends.cuda.eight_bits import choose_scales, rounded_networks
from donerf.backends.cuda.launch import (
    Depths,
    Picture,
    Pixels,
    Rule,
    Tiling,
    launch_place,
    launch_shade,
    place_tiling,
    shade_tiling,
)
from donerf.backends.cuda.packing import PackedOracle, PackedShading, pack_oracle, pack_shading
from donerf.backends.cuda.view import describe_view
from donerf.config import CompositingRule, OracleSettings, ShadingSettings
from donerf.model.compositing import combs_of
from donerf.model.oracle import DepthOracle
from donerf.model.pipeline import Networks, RenderedRays, render_rays
from donerf.model.placement import quantiles
from donerf.model.shading import ShadingNetwork

# Away from the world's origin; the near distance is negative.
CELL = ViewCell((3.0, -1.0, 0.5), (1.0, 1.0, 1.0), 0.9, (0.5, 20.0), (-0.1, 19.0), 0.7)
POSE = np.array([[1, 0, 0, 3.1], [0, 0, -1, -1.2], [0, 1, 0, 0.4], [0, 0, 0, 1.0]])
SMALL = Tiling(rows=32, warps=4, stages=1)
"""Tiles that make a small picture many, for the interpreter; a GPU takes its own."""


@dataclass(frozen=True)
class Case:
    """Networks, a picture size that no tile divides, and what the pipeline makes of them."""

    networks: Networks
    camera: Camera
    expected: RenderedRays
    view: torch.Tensor
    oracle: PackedOracle
    shading: PackedShading

    @property
    def width(self) -> int:
        return self.camera.intrinsics.width

    @property
    def rays(self) -> range:
        return range(self.expected.samples.s.shape[0])

    @property
    def s(self) -> torch.Tensor:
        """(S, R), as the kernels keep it."""
        return self.expected.samples.s.T.contiguous()

    @property
    def rule(self) -> Rule:
        samples = self.s.shape[0]
        return Rule(samples, combs_of(samples, self.networks.compositing))

    def place(self, rays: range | None = None, tiling: Tiling | None = None) -> torch.Tensor:
        rays = rays if rays is not None else self.rays
        own = place_tiling(self.oracle.shape) if self.view.is_cuda else SMALL
        depths = Depths.of(self.rule, len(rays), self.view.device)
        depths.s.fill_(torch.nan)  # Not a number wherever the kernel forgets to write.
        launch_place(self.oracle, self.view, Pixels(rays, self.width), depths, tiling or own)
        return depths.s

    def shade(self, rays: range | None = None, tiling: Tiling | None = None) -> Picture:
        rays = rays if rays is not None else self.rays
        own = shade_tiling(self.shading) if self.view.is_cuda else SMALL
        picture = self.empty_picture()
        depths = Depths.of(self.rule, len(rays), self.view.device)
        depths.s.copy_(self.s[:, rays.start : rays.stop])
        launch_shade(self.shading, self.view, rays, depths, picture, tiling or own)
        return picture

    def empty_picture(self) -> Picture:
        image = torch.zeros(len(self.rays), dtype=torch.int32, device=self.view.device)
        color = image.new_full((len(self.rays), 3), torch.nan, dtype=torch.float16)
        return Picture(self.width, image, color)


def make_case(
    device: torch.device,
    samples: int = 3,
    oracle: OracleSettings | None = None,
    shading: ShadingSettings | None = None,
    rule: CompositingRule = "last-opaque",
    size: tuple[int, int] = (37, 2),
    dtype: torch.dtype = torch.float16,
) -> Case:
    networks = Networks(
        DepthOracle(oracle or OracleSettings(width=64, layers=3)),
        ShadingNetwork(shading or ShadingSettings(width=64, layers=3)),
        rule,
    )
    networks = lively(networks).copied_to(device, torch.float32)
    assert networks.shading is not None
    camera = Camera(POSE, Intrinsics.from_fov(*size, 1.2))
    with torch.inference_mode():
        rays = camera.rays(device)
        u = quantiles(len(rays), samples, device, combs_of(samples, rule))
        expected = render_rays(rays, CELL, networks, u)
        packed = (
            pack_oracle(networks.oracle, CELL, dtype),
            pack_shading(networks.shading, rule, dtype),
        )
    return Case(networks, camera, expected, describe_view(camera, CELL).to(device), *packed)


def with_8_bits(case: Case) -> Case:
    """The same with hidden layers of 8 bits, and what their twin in the pipeline makes of it."""
    networks, samples = case.networks, case.s.shape[0]
    assert networks.shading is not None
    scales = choose_scales(CELL, networks)
    with torch.inference_mode():
        rays = case.camera.rays(case.view.device)
        combs = combs_of(samples, networks.compositing)
        u = quantiles(len(rays), samples, case.view.device, combs)
        expected = render_rays(rays, CELL, rounded_networks(networks, scales), u)
        packed = pack_shading(networks.shading, networks.compositing, torch.float16, scales)
    return replace(case, expected=expected, shading=packed)


def lively(networks: Networks) -> Networks:
    """Fresh weights, larger, so that pictures are far from gray and mistakes show."""
    with torch.no_grad():
        for network in (networks.oracle, networks.shading):
            assert network is not None
            for parameter in network.parameters():
                parameter.mul_(2)
        assert networks.shading is not None
        for table in networks.shading.grid.tables if networks.shading.grid else ():
            table.normal_()
        for layer in networks.oracle.output_layers():
            layer.weight.mul_(4)
    return networks


def bytes_of(picture: Picture) -> torch.Tensor:
    return picture.image.view(torch.uint8).view(-1, 4)


def assert_places(case: Case, depths: torch.Tensor) -> None:
    # Activations have 11 bits of mantissa. Between two far modes of a distribution, where nothing
    # is expected, a depth moves further; a bin is 8e-3.
    if len(case.rays) > 1:
        assert (depths - case.s).abs().mean() < 0.01 * case.s.std(dim=1).mean(), (
            "of what differs by ray"
        )
    assert_close(depths, case.s, atol=4e-3, rtol=0)


def assert_colors(case: Case, picture: Picture) -> None:
    color = case.expected.composite.color
    assert picture.color is not None
    # 11 bits through a few layers; a byte is rounded once more, and may fall to the other side.
    assert_close(picture.color.float(), color, atol=3e-3, rtol=0)
    assert_close(bytes_of(picture)[:, :3].float(), color * 255, atol=1.3, rtol=0)
    assert (bytes_of(picture)[:, 3] == 255).all()
