"""A .donerf file: networks, cells, ranges and provenance in one file to share.

It is a safetensors file whose metadata holds one JSON document under the key `donerf`. Nothing
in it is ever executed, so a file from a stranger is safe to open.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args

import safetensors
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from donerf.assets import check_scene_file
from donerf.config import (
    CompositingRule,
    NerfSettings,
    OracleSettings,
    RaySpace,
    ShadingSettings,
    WarpRule,
)
from donerf.files import write_tensors
from donerf.geometry.view_cell import ViewCell
from donerf.model.nerf import NerfNetworks
from donerf.model.oracle import DepthOracle
from donerf.model.pipeline import Networks
from donerf.model.shading import ShadingNetwork

FORMAT = 1


class _Document(BaseModel):
    model_config = ConfigDict(extra="allow", allow_inf_nan=False)


class Step(_Document):
    """A step of the method by its name, so that a later version can offer another."""

    name: str


class CompositingStep(Step):
    """How samples become one color; a file of an earlier version names no longest comb."""

    name: str = "last-opaque"
    longest_comb: Annotated[int, Field(ge=1)] = 8


class CellDocument(_Document):
    """One view cell, as it stands in the file."""

    center: tuple[float, float, float]
    size: tuple[float, float, float]
    radius: float
    depth_range: tuple[float, float]
    unified_range: tuple[float, float]
    log_scale: float | None
    base_orientation: tuple[
        tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]
    ]
    view_rotation_deg: tuple[float, float]
    fov_x: float
    oracle: OracleSettings | None = None
    shading: ShadingSettings | None = None
    nerf: NerfSettings | None = None
    rays: Step = Step(name="unified")
    warp: Step = Step(name="inverse-sqrt-distance")
    placement: Step = Step(name="quantiles")
    compositing: CompositingStep = CompositingStep()
    background: Step = Step(name="last-bin")


class Metadata(_Document):
    """Everything in a file but the tensors.

    provenance:  data, steps, seconds, device and settings of the trainings
    quality:     on the test views, as `donerf evaluate` measures it
    test_poses:  world_from_camera of some views, to look from
    """

    format: int = FORMAT
    kind: Literal["donerf", "nerf"] = "donerf"
    sha256: str = ""
    name: str = ""
    license: str = ""
    credits: str = ""
    world_up: tuple[float, float, float] = (0.0, 0.0, 1.0)
    provenance: dict[str, Any] = Field(default_factory=dict)
    quality: dict[str, Any] = Field(default_factory=dict)
    test_poses: list[list[list[float]]] = Field(default_factory=list)
    cells: list[CellDocument] = Field(default_factory=list)


@dataclass(frozen=True)
class SceneCell:
    """A view cell and the networks that serve it: ours, or a baseline's."""

    cell: ViewCell
    model: Networks | NerfNetworks

    @property
    def networks(self) -> Networks:
        """Oracle and shading network; ValueError for a scene that has none."""
        if isinstance(self.model, NerfNetworks):
            raise ValueError(
                "this needs a scene with a depth oracle, the file is a NeRF, which has none; it "
                "can be viewed and evaluated"
            )
        return self.model


@dataclass(frozen=True)
class Scene:
    """What a .donerf file holds. `path` is None for a scene that was never saved."""

    cells: list[SceneCell]
    metadata: Metadata = field(default_factory=Metadata)
    path: Path | None = None

    @property
    def name(self) -> str:
        """For window titles and tables."""
        return self.metadata.name or (self.path.stem if self.path else "scene")


STEPS = {
    "rays": get_args(RaySpace),
    "warp": get_args(WarpRule),
    "placement": ("quantiles",),
    "compositing": get_args(CompositingRule),
    "background": ("last-bin",),
}


def save_scene(scene: Scene, path: Path) -> None:
    """Write a .donerf file, beside its final name first."""
    tensors = {
        name: tensor.detach().to(_stored_dtype(name)).contiguous().cpu()
        for i, cell in enumerate(scene.cells)
        for part, network in _parts(cell.model)
        for name, tensor in _named(network, f"cells.{i}.{part}.")
    }
    cells = [_describe(cell) for cell in scene.cells]
    document = scene.metadata.model_copy(update={"cells": cells})
    digest = _sha256(tensors, document.model_dump_json())
    document = document.model_copy(update={"sha256": digest})
    write_tensors(path, tensors, {"donerf": document.model_dump_json()})


def load_scene(path: Path | str) -> Scene:
    """Read a .donerf file.

    Raises FileNotFoundError or ValueError, naming the file and the cure, when it is missing, cut
    short, altered, not ours, or from a newer version.
    """
    path = Path(path)
    check_scene_file(path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            raw = (file.metadata() or {}).get("donerf")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"{path} is not a whole .donerf file ({error}); it may be cut short or of another "
            "kind: copy or download it again"
        ) from None
    if raw is None:
        raise ValueError(
            f"{path} holds tensors but no scene (no 'donerf' metadata); it was not written by "
            "this program"
        )
    metadata = _read_metadata(raw, path)
    if _sha256(tensors, raw) != metadata.sha256:
        raise ValueError(
            f"what {path} holds is not what was saved (checksum differs); the file was altered or "
            "damaged: copy or download it again"
        )
    cells = [
        _build(document, metadata, tensors, i, path) for i, document in enumerate(metadata.cells)
    ]
    return Scene(cells, metadata, path)


def with_metadata(scene: Scene, **changes: Any) -> Scene:
    """The same scene with some of its metadata replaced."""
    return replace(scene, metadata=scene.metadata.model_copy(update=changes))


def _read_metadata(raw: str, path: Path) -> Metadata:
    try:
        version = json.loads(raw).get("format")
    except (ValueError, AttributeError):
        raise ValueError(f"the metadata of {path} must be a JSON object; it is damaged") from None
    if not isinstance(version, int) or version > FORMAT:
        raise ValueError(
            f"{path} has format {version}, this program reads up to {FORMAT}; update the program"
        )
    try:
        metadata = Metadata.model_validate_json(raw)
    except ValidationError as error:
        fault = error.errors()[0]
        name = ".".join(str(part) for part in fault["loc"])
        raise ValueError(
            f"'{name}' in the metadata of {path} is wrong: {fault['msg']}; the file was altered "
            "or written by another version"
        ) from None
    if not metadata.cells:
        raise ValueError(f"{path} must hold at least one view cell, it holds none")
    for cell in metadata.cells:
        part = "nerf" if metadata.kind == "nerf" else "oracle"
        if getattr(cell, part) is None:
            raise ValueError(
                f"a scene of the kind '{metadata.kind}' must describe its {part}, {path} does not; "
                "the file was altered or written by another version"
            )
        for step, known in STEPS.items():
            if (name := getattr(cell, step).name) not in known:
                raise ValueError(
                    f"{path} asks for the {step} '{name}', this program knows "
                    f"{' and '.join(map(repr, known))}; update the program"
                )
    return metadata


def _describe(scene_cell: SceneCell) -> CellDocument:
    cell, model = scene_cell.cell, scene_cell.model
    document = CellDocument(
        center=cell.center,
        size=cell.size,
        radius=cell.radius,
        depth_range=cell.depth_range,
        unified_range=cell.unified_range,
        log_scale=cell.log_scale,
        base_orientation=cell.base_orientation,
        view_rotation_deg=cell.view_rotation_deg,
        fov_x=cell.fov_x,
        rays=Step(name=cell.ray_space),
        warp=Step(name=cell.warp),
    )
    if isinstance(model, NerfNetworks):
        step = CompositingStep(name="published")
        return document.model_copy(update={"nerf": model.settings, "compositing": step})
    changes = {
        "oracle": model.oracle.settings,
        "shading": model.shading.settings if model.shading is not None else None,
        "compositing": CompositingStep(name=model.compositing, longest_comb=model.longest_comb),
    }
    return document.model_copy(update=changes)


def _build(
    document: CellDocument, metadata: Metadata, tensors: dict[str, Tensor], i: int, path: Path
) -> SceneCell:
    try:
        cell = ViewCell(
            center=document.center,
            size=document.size,
            radius=document.radius,
            depth_range=document.depth_range,
            unified_range=document.unified_range,
            log_scale=document.log_scale,
            base_orientation=document.base_orientation,
            view_rotation_deg=document.view_rotation_deg,
            fov_x=document.fov_x,
            world_up=metadata.world_up,
            ray_space=cast(RaySpace, document.rays.name),  # Of STEPS, as was checked.
            warp=cast(WarpRule, document.warp.name),
        )
    except ValueError as error:
        raise ValueError(f"cell {i} of {path} cannot be used: {error}") from None
    if metadata.kind == "nerf":
        assert document.nerf is not None, "was checked with the metadata"
        nerf = NerfNetworks(document.nerf)
        _fill(nerf, tensors, f"cells.{i}.nerf.", path)
        return SceneCell(cell, nerf)
    assert document.oracle is not None, "was checked with the metadata"
    oracle = DepthOracle(document.oracle)
    _fill(oracle, tensors, f"cells.{i}.oracle.", path)
    shading = None
    if document.shading is not None:
        shading = ShadingNetwork(document.shading)
        _fill(shading, tensors, f"cells.{i}.shading.", path)
    rule = cast(CompositingRule, document.compositing.name)  # One of STEPS, as was checked.
    longest_comb = document.compositing.longest_comb
    return SceneCell(cell, Networks(oracle, shading, rule, longest_comb))


def _fill(network: nn.Module, tensors: dict[str, Tensor], prefix: str, path: Path) -> None:
    """Copy the tensors of one network into it; every one must be there and fit."""
    for name, parameter in _named(network, prefix):
        tensor = tensors.get(name)
        if tensor is None or tensor.shape != parameter.shape:
            came = "nothing" if tensor is None else str(tuple(tensor.shape))
            raise ValueError(
                f"tensor '{name}' must have the shape {tuple(parameter.shape)}, got {came} in "
                f"{path}; the file is damaged or from another version"
            )
        if not torch.isfinite(tensor).all():
            raise ValueError(f"tensor '{name}' in {path} must be finite numbers; train it again")
        parameter.data.copy_(tensor)
    network.requires_grad_(False).eval()


def _parts(networks: Networks | NerfNetworks) -> list[tuple[str, nn.Module]]:
    if isinstance(networks, NerfNetworks):
        return [("nerf", networks)]
    parts: list[tuple[str, nn.Module]] = [("oracle", networks.oracle)]
    if networks.shading is not None:
        parts.append(("shading", networks.shading))
    return parts


def _named(network: nn.Module, prefix: str) -> list[tuple[str, Tensor]]:
    return [(prefix + name, parameter) for name, parameter in network.named_parameters()]


def _stored_dtype(name: str) -> torch.dtype:
    """A hash grid's tables are most of a file that has one, and half precision serves them."""
    return torch.float16 if ".grid." in name else torch.float32


def _sha256(tensors: dict[str, Tensor], document: str) -> str:
    """Over the tensors' bytes and all that the JSON document says but the digest itself.

    The document is taken as it stands, not as this version understands it: a later one may know
    more fields and must still find the same digest.
    """
    said = {key: value for key, value in json.loads(document).items() if key != "sha256"}
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
