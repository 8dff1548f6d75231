"""What the quality benchmark compares: methods and ablations, each a change of a scene's config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from donerf.config import Config, Placement, parse_config

Network = Literal["oracle", "shading", "joint", "nerf"]

_CONCERNS: dict[Network, tuple[str, ...]] = {
    "oracle": ("scene", "cell", "oracle", "targets", "oracle_training"),
    "shading": (
        *("scene", "cell", "oracle", "targets", "oracle_training"),
        *("shading", "compositing", "shading_training"),
    ),
    "joint": (
        *("scene", "cell", "oracle", "targets", "oracle_training"),
        *("shading", "compositing", "shading_training", "joint_training"),
    ),
    "nerf": ("scene", "cell", "nerf", "nerf_training"),
}


@dataclass(frozen=True)
class Variant:
    """One curve of the benchmark.

    changes:    by section of the config, what differs from the scene's own
    placement:  who says where its samples go, in training and in rendering
    base:       the variant whose oracle it stands on; None: it trains its own
    is_joint:   it goes on with both networks of its base
    is_bound:   it is told what no renderer knows, and bounds what one can reach
    counts:     samples per ray that it is trained for; None: all that are asked for
    teacher:    the variant that colors a share of its rays; it must stand on the same oracle
    is_matched: it takes more steps than ours where its batches are smaller, and fewer where they
                are larger: so both see the same number of rays
    """

    name: str
    title: str
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    placement: Placement = "oracle"
    base: str | None = None
    teacher: str | None = None
    is_joint: bool = False
    is_nerf: bool = False
    is_bound: bool = False
    counts: tuple[int, ...] | None = None
    is_matched: bool = False

    @property
    def networks(self) -> tuple[Network, ...]:
        """That it consists of, in the order of training."""
        if self.is_nerf:
            return ("nerf",)
        return ("oracle", "shading", "joint") if self.is_joint else ("oracle", "shading")

    def config(self, config: Config) -> Config:
        """The scene's config with this variant's changes."""
        tree = config.model_dump()
        for section, values in self.changes.items():
            tree[section] = tree[section] | dict(values)
        return parse_config(tree, f"the variant '{self.name}'")


LONGEST_CHAIN = 128
"""Samples of a ray that stand in one comb where they are spread all along it."""
_CHAINS = (1, 2, 4, 4, 8, 8, 16, 32, 64, LONGEST_CHAIN)
"""That such a network is trained with: ours, and longer ones."""


def _placed(placement: Placement) -> dict[str, dict[str, Any]]:
    return {"shading_training": {"placement": placement}}


_PUBLISHED_LOOP: dict[str, Any] = {
    **{"optimizer": "adam", "learning_rate": 5e-4, "final_learning_rate": 5e-5},
    **{"decay": "exponential", "warmup_steps": 0, "ema_decay": 0.0, "moved_share": 0.0},
    "rays_per_step": 4096,
}
_PUBLISHED_RECIPE: dict[str, dict[str, Any]] = {
    "oracle": {"input": "points"},
    "targets": {"screen_filter": 5, "depth_filter": 2, "sub_bin": False},
    "compositing": {"rule": "published"},
    "oracle_training": _PUBLISHED_LOOP,
    "shading_training": _PUBLISHED_LOOP | {"samples": (4,), "jitter": 0.0},
}
"""Same networks as ours, everything else as published; see docs/quality.md."""

METHODS = (
    Variant("donerf", "oracle (ours)"),
    Variant(
        "uniform",
        "uniform in log depth",
        {
            "compositing": {"longest_comb": LONGEST_CHAIN},
            "shading_training": {"placement": "uniform", "samples": _CHAINS},
        },
        "uniform",
        "donerf",
    ),
    Variant(
        "true-depth", "true depth", _placed("true-depth"), "true-depth", "donerf", is_bound=True
    ),
    Variant("regression", "depth regression", {"oracle": {"answer": "depth"}}),
    Variant(
        "recipe",
        "published recipe",
        _PUBLISHED_RECIPE,
        counts=(4,),
        is_matched=True,
    ),
    Variant("nerf", "NeRF", {"cell": {"depth": "linear", "warp": "none"}}, is_nerf=True),
    Variant(
        "nerf-log-warp",
        "NeRF (log + warp)",
        {"cell": {"depth": "log", "warp": "inverse-sqrt-distance"}},
        is_nerf=True,
    ),
)


def _shaded(
    name: str, title: str, compositing: dict[str, Any] | None = None, **training: Any
) -> Variant:
    """Another training of the shading network alone, under our oracle."""
    changes = {"shading_training": training, "compositing": compositing or {}}
    return Variant(name, title, changes, base="donerf")


ABLATIONS = (
    Variant("no-unification", "ray unification off", {"cell": {"rays": "camera"}}),
    Variant("no-log", "log depth off", {"cell": {"depth": "linear"}}),
    Variant("no-warp", "warp off", {"cell": {"warp": "none"}}),
    *(
        Variant(
            f"screen-{size}", f"screen filter {size}x{size}", {"targets": {"screen_filter": size}}
        )
        for size in (1, 3, 5)
    ),
    Variant("no-depth-filter", "depth filter off", {"targets": {"depth_filter": 0}}),
    *(
        Variant(f"bins-{bins}", f"{bins} bins", {"oracle": {"bins": bins}})
        for bins in (32, 64, 128)
    ),
    *(
        Variant(f"input-{kind}", f"oracle input: {kind}", {"oracle": {"input": kind}})
        for kind in ("points", "encoded")
    ),
    Variant("no-sub-bin", "targets to whole bins", {"targets": {"sub_bin": False}}),
    Variant(
        "no-moved-oracle-rays", "oracle's rays not moved", {"oracle_training": {"moved_share": 0.0}}
    ),
    _shaded("published-rule", "published compositing", compositing={"rule": "published"}),
    _shaded(
        "adam", "Adam, no Muon", learning_rate=2e-3, final_learning_rate=2e-5, optimizer="adam"
    ),
    _shaded("exponential", "exponential decay, no warm-up", decay="exponential", warmup_steps=0),
    _shaded("no-average", "weights not averaged", ema_decay=0.0),
    _shaded("no-moved-rays", "shading network's rays not moved", moved_share=0.0),
    _shaded("no-jitter", "samples not jittered", jitter=0.0),
    _shaded("one-count", "trained with 4 samples only", samples=(4,)),
    _shaded("hard-rays", "half of the rays at errors", hard_rays=0.5),
    _shaded("depth-loss", "error in depth too", depth_weight=10.0),
    Variant(
        "oracle-hard-rays",
        "oracle: half of the rays at errors",
        {"oracle_training": {"hard_rays": 0.5}},
    ),
    Variant(
        "hash-grid",
        "hash grid, no sines",
        {"shading": {"encoding": "hash-grid", "position_frequencies": 0}},
        base="donerf",
    ),
    Variant(
        "small-grid",
        "hash grid of twice the features, shading network 3x64",
        {
            "shading": {
                "encoding": "hash-grid",
                "position_frequencies": 0,
                "grid_features": 4,
                "layers": 3,
                "width": 64,
            }
        },
        base="donerf",
    ),
    Variant("taught", "taught by the hash grid", base="donerf", teacher="hash-grid"),
    Variant("joint", "both networks go on together", base="donerf", is_joint=True),
    Variant(
        "longer",
        "the shading network goes on alone",
        {"joint_training": {"oracle_rate": 0.0}},
        base="donerf",
        is_joint=True,
    ),
)


def variant_named(name: str) -> Variant:
    """Of all methods and ablations."""
    return {variant.name: variant for variant in (*METHODS, *ABLATIONS)}[name]


def is_said_already(variant: Variant, config: Config) -> bool:
    """Whether an ablation changes nothing, since the scene's config says so already."""
    adds_training = variant.is_joint or variant.teacher is not None
    return variant in ABLATIONS and not adds_training and variant.config(config) == config


def choose_variants(methods: tuple[str, ...], ablations: bool) -> tuple[Variant, ...]:
    """Methods and ablations by name, ours among them wherever another one needs it.

    Raises ValueError for a name that no method has.
    """
    known = {variant.name: variant for variant in (*METHODS, *ABLATIONS)}
    for name in methods:
        if name not in known:
            raise ValueError(f"a method must be one of {', '.join(known)}, got '{name}'")
    chosen = [v for v in known.values() if v.name in methods or (ablations and v in ABLATIONS)]
    is_needed = any(v.base == "donerf" or v in ABLATIONS for v in chosen)
    if is_needed and known["donerf"] not in chosen:
        chosen.insert(0, known["donerf"])
    return tuple(chosen)


def narrowed(config: Config, network: Network) -> Config:
    """What of a config concerns a network, all else at its default.

    A run must go on with the settings that it was begun with; others may change meanwhile.
    """
    concerns = (*_CONCERNS[network], "device", "precision")
    return Config.model_validate({key: getattr(config, key) for key in concerns})
