"""What a picture can show: what to ask the renderer for, and what comes of its frame.

A frame becomes an array that is either a finished picture, (H, W, 4) uint8, or one value a pixel,
(H, W) float32. Values get their colors when they are shown (coloring.py), on a GPU or here.
"""

from __future__ import annotations

from enum import StrEnum

import torch
from torch import Tensor

from donerf import Camera, Frame, Output, RenderOptions
from donerf.renderer import Placement, RendererInfo


class RenderMode(StrEnum):
    """What a picture shows, in the order of the keys 1 to 8."""

    COLOR = "color"
    DEPTH = "depth"
    ORACLE_DEPTH = "oracle-depth"
    ENTROPY = "entropy"
    SAMPLE_PLACES = "sample-places"
    NORMALS = "normals"
    OPACITY = "opacity"
    ERROR = "error"

    @property
    def is_distance(self) -> bool:
        """Whether its values are distances, scene units."""
        return self in (RenderMode.DEPTH, RenderMode.ORACLE_DEPTH)


# The first that a renderer has is taken.
_OUTPUTS: dict[RenderMode, tuple[Output, ...]] = {
    RenderMode.DEPTH: (Output.DEPTH,),
    RenderMode.ORACLE_DEPTH: (Output.ORACLE_DEPTH,),
    RenderMode.ENTROPY: (Output.ENTROPY,),
    RenderMode.SAMPLE_PLACES: (Output.SAMPLE_PLACES, Output.SAMPLE_COUNT),
    RenderMode.NORMALS: (Output.DEPTH,),
    # Where the last sample ends every ray by rule, the plain opacity is 1 everywhere.
    RenderMode.OPACITY: (Output.DENSITY_OPACITY, Output.OPACITY),
}

NORMAL_REACH = 1 / 120
"""Length of a normal's tangents as a share of the picture: single pixels are too noisy."""
_SKY_SHARE = 0.97
"""Of the far distance; what lies beyond is no surface."""
_SKY_COLOR = (0.07, 0.07, 0.09)


def offered_modes(info: RendererInfo, has_truth: bool) -> tuple[RenderMode, ...]:
    """The modes that there is data for: the renderer's, and pictures to compare with."""
    return tuple(
        mode
        for mode in RenderMode
        if (has_truth if mode is RenderMode.ERROR else _is_rendered(mode, info))
    )


def _is_rendered(mode: RenderMode, info: RendererInfo) -> bool:
    return mode not in _OUTPUTS or any(output in info.outputs for output in _OUTPUTS[mode])


def options_for(
    mode: RenderMode,
    samples: int,
    info: RendererInfo,
    placement: Placement = "oracle",
    subpixel_offset: tuple[float, float] = (0.0, 0.0),
    adaptive: bool = False,
) -> RenderOptions:
    """What to ask a renderer for.

    Where rays get more or fewer samples, how many says more than where they went.
    """
    wanted = [output for output in _OUTPUTS.get(mode, ()) if output in info.outputs]
    if mode in _OUTPUTS and not wanted:
        raise ValueError(f"this renderer gives no '{mode}'; choose another mode")
    if adaptive and mode is RenderMode.SAMPLE_PLACES and Output.SAMPLE_COUNT in info.outputs:
        wanted = [Output.SAMPLE_COUNT]
    return RenderOptions(
        samples=samples,
        placement=placement,
        outputs=frozenset(wanted[:1]),
        subpixel_offset=subpixel_offset,
        adaptive=adaptive,
    )


def values_of(frame: Frame, mode: RenderMode, camera: Camera, far: float) -> Tensor:
    """What a frame shows in a mode, on the device that it was rendered on.

    The error is made from the color afterwards (ground_truth.py).

    far:      distance of the background, scene units
    returns:  (H, W, 4) uint8 with row 0 on top, or (H, W) float32
    """
    match mode:
        case RenderMode.DEPTH:
            values = _given(frame.depth)
        case RenderMode.ORACLE_DEPTH:
            values = _given(frame.oracle_depth)
        case RenderMode.ENTROPY:
            values = _given(frame.entropy)
        case RenderMode.OPACITY:
            is_plain = frame.density_opacity is None
            values = _given(frame.opacity if is_plain else frame.density_opacity)
        case RenderMode.SAMPLE_PLACES if frame.sample_places is None:
            values = _given(frame.sample_count)
        case RenderMode.SAMPLE_PLACES:
            values = _as_picture(color_places(_given(frame.sample_places)))
        case RenderMode.NORMALS:
            values = _as_picture(color_normals(_given(frame.depth), camera, far))
        case _:
            values = frame.image
    return values if values.dtype == torch.uint8 else values.float().nan_to_num(far)


def color_places(places: Tensor) -> Tensor:
    """Where a ray's samples went: the hue is their mean place, the paler the further apart.

    places:   (..., 2) mean and extent of normalized depth, in [0, 1]
    returns:  (..., 3) in [0, 1]; red is near, green is in the middle, violet is far
    """
    mean, extent = places.float().unbind(-1)
    # Six straight pieces of the color wheel, of which three quarters are used.
    offset = torch.tensor((5.0, 3.0, 1.0), device=places.device)
    wheel = (offset + 4.5 * mean[..., None].clamp(0, 1)) % 6
    chroma = torch.minimum(wheel, 4 - wheel).clamp(0, 1)
    return 1 - (1 - 2 * extent[..., None]).clamp(0, 1) * chroma


def color_normals(depth: Tensor, camera: Camera, far: float) -> Tensor:
    """Which way surfaces face, from their distances: red, green, blue are the world's x, y, z.

    depth:    (H, W) distance along the rays;  far: distance of the background
    returns:  (H, W, 3) in [0, 1]; what is no surface is dark
    """
    k = camera.intrinsics
    t = depth.float()[..., None]
    directions = k.directions(t.device).view(k.height, k.width, 3)
    points = directions * t
    reach = max(1, round(NORMAL_REACH * max(k.width, k.height)))
    across, down = (_tangent(points, t, dim, reach) for dim in (1, 0))
    normal = torch.linalg.cross(down, across)
    normal = normal / normal.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    rotation = torch.tensor(camera.world_from_camera[:3, :3], dtype=t.dtype, device=t.device)
    colors = 0.5 + 0.5 * normal @ rotation.T
    sky = torch.tensor(_SKY_COLOR, device=t.device)
    return torch.where(t < _SKY_SHARE * far, colors, sky)


def _tangent(points: Tensor, t: Tensor, dim: int, reach: int) -> Tensor:
    """Along rows or columns, to the side where the depth changes less: not across an edge."""
    # Half the picture at most, so that one of the two sides lies inside it.
    reach = min(reach, (points.shape[dim] - 1) // 2)
    ahead, behind = (_shifted(points, dim, step) for step in (reach, -reach))
    jump_ahead, jump_behind = ((_shifted(t, dim, step) - t).abs() for step in (reach, -reach))
    return torch.where(jump_ahead <= jump_behind, ahead - points, points - behind)


def _shifted(values: Tensor, dim: int, step: int) -> Tensor:
    """The values `step` pixels further along a dimension; infinite beyond the border."""
    size = values.shape[dim]
    place = torch.arange(size, device=values.device) + step
    shifted = values.index_select(dim, place.clamp(0, size - 1))
    is_inside = ((place >= 0) & (place < size)).view(-1, *[1] * (values.ndim - dim - 1))
    return torch.where(is_inside, shifted, torch.inf)


def _as_picture(colors: Tensor) -> Tensor:
    """(H, W, 3) in [0, 1] as (H, W, 4) uint8."""
    alpha = torch.ones_like(colors[..., :1])
    return (torch.cat((colors, alpha), dim=-1) * 255).round().to(torch.uint8)


def _given(values: Tensor | None) -> Tensor:
    assert values is not None, "a frame lacks an output that was asked for"
    return values
