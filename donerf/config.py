"""Every setting with its unit, default and check; read from TOML, overridden on the command line.

A TOML file states only what differs from the defaults here. Code receives its own part of the
tree, never the whole, and never changes it.
"""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

Positive = Annotated[int, Field(ge=1)]
Width = Annotated[int, Field(ge=1, le=4096)]
Frequencies = Annotated[int, Field(ge=0, le=20)]
Share = Annotated[float, Field(ge=0, le=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
CompositingRule = Literal["last-opaque", "published"]
RaySpace = Literal["unified", "camera"]
WarpRule = Literal["inverse-sqrt-distance", "none"]
Placement = Literal["oracle", "uniform", "true-depth"]


class Settings(BaseModel):
    """A frozen part of the tree; unknown keys are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


class SceneSettings(Settings):
    """What is trained on."""

    folder: Path = Path("assets/data/courtyard_small")
    """Data set in the DONeRF format: a folder, or a file written by `donerf prepare --pack`."""
    downscale: Positive = 1
    """Train on pictures this many times smaller."""
    name: str = ""
    """Shown in the window; the folder's name when empty."""
    license: str = ""
    """Of the data and so of the networks made from it."""
    credits: str = ""
    """Who made the scene."""


class CellSettings(Settings):
    """The ray space that both networks live in."""

    rays: RaySpace = "unified"
    """'unified': distances begin on the sphere around the cell; 'camera': at each camera."""
    depth: Literal["log", "linear"] = "log"
    """The depth axis that bins and samples divide."""
    warp: WarpRule = "inverse-sqrt-distance"
    """How space is contracted before it is encoded; 'none' only scales it."""
    log_scale: PositiveFloat = 1.0
    """Distance, in scene units, at which the depth axis turns from linear to logarithmic."""


class OracleSettings(Settings):
    """Depth oracle: a classifier of rays."""

    input: Literal["encoded", "points"] = "encoded"
    """'encoded': sines of direction and origin; 'points': the bin centers along the ray, raw."""
    layers: Annotated[int, Field(ge=2, le=16)] = 4
    """Linear layers, the last one included."""
    width: Width = 128
    """Neurons per hidden layer."""
    bins: Annotated[int, Field(ge=2, le=1024)] = 128
    """Equal intervals of normalized depth."""
    answer: Literal["bins", "depth"] = "bins"
    """'bins': one yes or no for each; 'depth': one number, which samples are placed around."""
    direction_frequencies: Frequencies = 6
    origin_frequencies: Frequencies = 6


class ShadingSettings(Settings):
    """Shading network: point and direction to color and density."""

    shape: Literal["reference", "nerf"] = "reference"
    """'reference': direction joins at the last layer; 'nerf': skip and a color branch."""
    layers: Annotated[int, Field(ge=2, le=16)] = 4
    """Linear layers of the trunk; of the whole network in the reference shape."""
    width: Width = 128
    """Neurons per hidden layer."""
    encoding: Literal["frequencies", "hash-grid"] = "frequencies"
    """Of points. 'hash-grid': learned features from grids join the sines; a larger file."""
    position_frequencies: Frequencies = 10
    direction_frequencies: Frequencies = 4
    grid_levels: Annotated[int, Field(ge=1, le=32)] = 8
    """Grids, each finer than the one before by the same factor."""
    grid_features: Annotated[int, Field(ge=1, le=8)] = 2
    """Learned numbers at each corner of each grid."""
    grid_log2_rows: Annotated[int, Field(ge=4, le=19)] = 15
    """A grid's table has at most 2 to the power of this many rows; more corners share rows."""
    grid_coarsest: Annotated[int, Field(ge=1, le=4096)] = 16
    """Cells across the warped space, whose far end is the unit sphere."""
    grid_finest: Annotated[int, Field(ge=1, le=4096)] = 512
    """The same, of the last grid."""

    @field_validator("grid_finest")
    @classmethod
    def _is_not_coarser(cls, finest: int, info: ValidationInfo) -> int:
        if finest < (coarsest := info.data.get("grid_coarsest", 1)):
            raise ValueError(f"be at least grid_coarsest, which is {coarsest}")
        return finest


class NerfSettings(Settings):
    """The baseline: two networks of the 'nerf' shape, one asked evenly, one where it matters."""

    layers: Annotated[int, Field(ge=2, le=16)] = 8
    """Linear layers of each trunk."""
    width: Width = 256
    """Neurons per hidden layer."""
    position_frequencies: Frequencies = 10
    direction_frequencies: Frequencies = 4
    coarse_samples: Annotated[int, Field(ge=2, le=1024)] = 64
    """Per ray, evenly along the depth axis."""
    fine_samples: Annotated[int, Field(ge=1, le=1024)] = 128
    """Per ray, more, where the coarse network saw something; the fine one is asked for all."""


class CompositingSettings(Settings):
    """How the samples of a ray become one color."""

    rule: CompositingRule = "last-opaque"
    """'last-opaque': softplus density by log depth; 'published': ReLU density by scene units."""
    longest_comb: Annotated[int, Field(ge=1, le=256)] = 8
    """Samples that end one ray by the rule 'last-opaque'; more are several combs, averaged."""


class TargetSettings(Settings):
    """How true depth becomes the oracle's target."""

    screen_filter: Literal[1, 3, 5] = 3
    """Pixels across the neighborhood whose depths a ray must expect."""
    depth_filter: Annotated[int, Field(ge=0, le=8)] = 2
    """Bins on each side that the true bin spreads to."""
    sub_bin: bool = True
    """Divide a depth between its two nearest bins; false: the bin it falls into, as published."""


class TrainingSettings(Settings):
    """One training loop."""

    steps: Positive = 8_000
    """Optimizer updates."""
    rays_per_step: Positive = 8192
    """At most, for the shading network (see samples_per_step)."""
    learning_rate: PositiveFloat = 1e-2
    """At its peak; a warm-up leads there."""
    final_learning_rate: PositiveFloat = 1e-4
    decay: Literal["cosine", "exponential"] = "cosine"
    """How the learning rate goes from its peak to its end."""
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    optimizer: Literal["muon", "adam"] = "muon"
    """Of the hidden matrices; biases and the output layers are Adam's in any case."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Of the averaged weights, which are the ones that are saved."""
    moved_share: Share = 0.5
    """Share of rays that look at their pixel's surface point from a moved origin."""
    moved_distance: Annotated[float, Field(ge=0, le=1)] = 0.15
    """How far an origin moves at most, per axis, as a share of the cell's edges."""
    hard_rays: Share = 0.0
    """Share of rays through places in proportion to their last error; the rest anywhere."""
    checkpoint_every: Positive = 1000
    """Steps between checkpoints and quality on the validation views."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0


class ColorTrainingSettings(TrainingSettings):
    """A loop in which samples are colored."""

    samples: Annotated[tuple[Annotated[int, Field(ge=1, le=256)], ...], Field(min_length=1)] = (
        *(1, 2, 4, 4, 8, 8),
    )
    """Samples per ray; each step draws one of these, so that one network serves them all. The
    longer combs need more steps; more than 8 samples are several combs and need none."""
    samples_per_step: Positive = 32_768
    """At most: a step with many samples a ray takes fewer rays, so that all cost about the same."""
    jitter: Share = 1.0
    """How much of its stratum a training sample may move in: 0 fixed, 1 all of it."""
    depth_weight: Annotated[float, Field(ge=0)] = 0.0
    """Of the squared error in normalized depth, beside that in color; 0: color alone."""


class ShadingTrainingSettings(ColorTrainingSettings):
    """The shading network's loop."""

    steps: Positive = 12_000
    """Optimizer updates."""
    placement: Placement = "oracle"
    """Who says where the samples go; the others are what the benchmark compares with."""
    grid_learning_rate: PositiveFloat = 3e-2
    """Of a hash grid's features, which are Adam's, at its peak; it goes as the other rate does."""
    teacher: Path | None = None
    """A better scene file of the same cell, which colors rays that no camera took; none if not
    given."""
    teacher_share: Share = 0.5
    """Share of a step's rays that the teacher colors."""
    teacher_samples: Annotated[int, Field(ge=1, le=256)] = 8
    """Per ray of the teacher."""


class JointTrainingSettings(ColorTrainingSettings):
    """The loop in which both networks learn on, after a loop of their own each."""

    steps: Positive = 4_000
    """Optimizer updates."""
    learning_rate: PositiveFloat = 2e-3
    oracle_rate: Share = 0.25
    """Learning rate of the oracle, as a share of the shading network's; 0 leaves it as it is."""
    oracle_weight: Annotated[float, Field(ge=0)] = 0.1
    """Of the oracle's own loss, beside that of the colors."""


class NerfTrainingSettings(TrainingSettings):
    """The baseline's loop; without depth, so no ray can be moved."""

    steps: Positive = 20_000
    """Optimizer updates."""
    rays_per_step: Positive = 1024
    learning_rate: PositiveFloat = 2e-3
    moved_share: Annotated[float, Field(ge=0, le=0)] = 0.0
    """A moved origin needs true depth."""
    hard_rays: Annotated[float, Field(ge=0, le=0)] = 0.0
    """The baseline is trained as published."""


class Config(Settings):
    """Everything that one scene's training needs."""

    scene: SceneSettings = SceneSettings()
    cell: CellSettings = CellSettings()
    oracle: OracleSettings = OracleSettings()
    shading: ShadingSettings = ShadingSettings()
    nerf: NerfSettings = NerfSettings()
    compositing: CompositingSettings = CompositingSettings()
    targets: TargetSettings = TargetSettings()
    oracle_training: TrainingSettings = TrainingSettings()
    shading_training: ShadingTrainingSettings = ShadingTrainingSettings()
    joint_training: JointTrainingSettings = JointTrainingSettings()
    nerf_training: NerfTrainingSettings = NerfTrainingSettings()
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """'auto' takes a CUDA GPU when there is one."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of the matrix products; 'auto' times both at start and takes the faster."""


def load_config(path: Path) -> Config:
    """Read a TOML file; every error names the key, what it must be, what came and from where."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"no config file {path}; the ones that come with the program are in configs/"
        ) from None
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise ValueError(f"a config must be a TOML text file, got {path} ({error})") from None
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"a config must be valid TOML: {error} in {path}") from None
    return parse_config(tree, str(path))


def parse_config(tree: dict[str, Any], source: str) -> Config:
    """Check a tree of settings that came from `source`."""
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ValueError(explain(error, source)) from None


def explain(error: ValidationError, source: str) -> str:
    """The first fault of a config as one sentence."""
    fault = error.errors()[0]
    name = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        known = _keys_at(fault["loc"][:-1])
        near = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known)}"
        return f"unknown setting '{name}' in {source}; {hint}"
    more = len(error.errors()) - 1
    tail = f" (and {more} more)" if more else ""
    must = fault["msg"].removeprefix("Value error, ").removeprefix("Input ").removeprefix("should ")
    return f"'{name}' must {must}, got {fault['input']!r} in {source}{tail}"


def _keys_at(location: tuple[int | str, ...]) -> list[str]:
    part: type[BaseModel] = Config
    for key in location:
        annotation = part.model_fields[str(key)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        part = annotation
    return list(part.model_fields)
