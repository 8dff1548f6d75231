"""Samples per ray against quality and cost, for every method: train, measure, report.

OUT/<scene>/<variant>/<network>/    run folders, resumed or skipped
OUT/<scene>/<variant>/S4_….png      one view, for the picture grids
OUT/results.json, results.csv       one row a scene, method and sample count
OUT/training.json                   quality on the validation views after so much training
OUT/plots, OUT/report.html          what they say
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from rich.console import Console

from donerf.config import Config, load_config
from donerf.data.dataset import Dataset, load_dataset
from donerf.evaluation.cost import parameter_mflop
from donerf.evaluation.edges import depth_edges
from donerf.evaluation.metrics import flip_map
from donerf.evaluation.quality import evaluate, options_for
from donerf.evaluation.quality_rows import QualityRow, machine_name, read_rows, write_rows
from donerf.evaluation.sweep_training import Budget, NotTrainedError, Trainings
from donerf.evaluation.training_curves import (
    TrainingCurve,
    read_curves,
    training_cost,
    training_points,
    write_curves,
)
from donerf.evaluation.variants import (
    ABLATIONS,
    METHODS,
    Network,
    Variant,
    choose_variants,
    is_said_already,
    variant_named,
)
from donerf.files import write_atomically
from donerf.model.version import code_version
from donerf.renderer import Renderer, make_renderer
from donerf.scene_file import Scene
from donerf.training.shading import VALIDATED_COUNTS

_TRAINING_VIEWS = 10


@dataclass(frozen=True)
class SweepSettings:
    """What is compared, and where it goes.

    configs:    one TOML file a scene; its name is the scene's
    samples:    per ray, of the methods that have a choice
    views:      how many of the test views, evenly; None: all
    downscale:  of the pictures; None: as the configs say
    may_train:  false: only what is trained already is measured
    """

    configs: tuple[Path, ...]
    methods: tuple[str, ...]
    samples: tuple[int, ...]
    out: Path
    ablations: bool = False
    budget: Budget = field(default_factory=Budget)
    views: int | None = None
    downscale: int | None = None
    may_train: bool = True


def run_sweep(
    settings: SweepSettings, console: Console
) -> tuple[list[QualityRow], list[SceneSweep]]:
    """Train and measure what is missing, and write the rows after every variant."""
    variants = choose_variants(settings.methods, settings.ablations)
    if not settings.configs or not settings.samples or min(settings.samples) < 1:
        raise ValueError(
            "a benchmark needs a config and sample counts of 1 or more, got "
            f"{len(settings.configs)} configs and {list(settings.samples)}"
        )
    if settings.views is not None and settings.views < 1:
        raise ValueError(f"a benchmark needs 1 view or more, got {settings.views}")
    names = [path.stem for path in settings.configs]
    if len(set(names)) < len(names):
        raise ValueError(f"each config must have its own file name, got {', '.join(names)}")
    rows, curves = read_rows(settings.out), read_curves(settings.out)
    # All data is looked at before anything is trained.
    scenes = [
        SceneSweep(path.stem, _scaled(load_config(path), settings.downscale), settings, console)
        for path in settings.configs
    ]
    for scene in scenes:
        scene.refuse_other_views(rows, {variant.name for variant in variants})
    for scene in scenes:
        for variant in variants:
            # Rows of networks that are gone, or of views that are not asked for, are not kept.
            others = [row for row in rows if (row.scene, row.method) != (scene.name, variant.name)]
            rows = others + scene.rows_of(variant, [row for row in rows if row not in others])
            write_rows(rows, settings.out)
            known = {(curve.scene, curve.method) for curve in scene.curves}
            curves = [c for c in curves if (c.scene, c.method) not in known]
            write_curves([*curves, *scene.curves], settings.out)
        curves += scene.curves
        scene.curves = [curve for curve in curves if curve.scene == scene.name]
    asked = {(scene.name, variant.name) for scene in scenes for variant in variants}
    for scene in scenes:
        scene.note_origins(rows, asked)
    others = {(row.scene, row.method) for row in rows if row.scene not in names}
    for name, method in sorted(others):
        console.print(f"{name}: {method} as measured before", highlight=False)
    return rows, scenes


def _scaled(config: Config, downscale: int | None) -> Config:
    if downscale is None:
        return config
    if downscale < 1:
        raise ValueError(f"a downscale must be 1 or more, got {downscale}")
    scene = config.scene.model_copy(update={"downscale": downscale})
    return config.model_copy(update={"scene": scene})


class SceneSweep:
    """The variants of one scene on its test views."""

    def __init__(
        self, name: str, config: Config, settings: SweepSettings, console: Console
    ) -> None:
        self.name, self.config, self.settings, self.console = name, config, settings, console
        self.folder = settings.out / name
        self.trainings = Trainings(
            config, self.folder, settings.budget, settings.may_train, console
        )
        self.views = some_views(
            load_dataset(config.scene.folder, "test", config.scene.downscale), settings.views
        )
        # Pictures and training views are looked at with so many samples, or what is nearest.
        self.grid_samples = min(settings.samples, key=lambda count: abs(count - 4))
        self.curves: list[TrainingCurve] = []
        self.notes: list[str] = []

    @cached_property
    def training_views(self) -> Dataset:
        """Some views that the networks were trained on: how much better these are is the gap."""
        scene = self.config.scene
        return some_views(load_dataset(scene.folder, "train", scene.downscale), _TRAINING_VIEWS)

    def runs(self, variant: Variant) -> dict[Network, Path]:
        """The trainings that a variant's pictures stand on, in their order; not its teacher's."""
        networks = variant.networks
        if variant.placement != "oracle":
            networks = ("shading",)  # The file has an oracle, which it never asks.
        return {network: self.trainings.run_folder(variant, network) for network in networks}

    def edges(self) -> np.ndarray:
        """Where depth jumps in the first view, (H, W) bool; nowhere without depth maps."""
        if self.views.distances is None:
            return np.zeros(self.views.colors.shape[1:3], bool)
        return depth_edges(self.views.distances[0])

    def refuse_other_views(self, rows: Sequence[QualityRow], asked: Collection[str]) -> None:
        """Rows that would stay must be of the pictures that the new ones are of."""
        height, width = self.views.colors.shape[1:3]
        views = len(self.views.cameras), (width, height)
        for row in rows:
            is_kept = row.scene == self.name and row.method not in asked and row.is_measured
            if is_kept and (row.views, row.size) != views:
                raise ValueError(
                    f"all methods of '{self.name}' must be measured on the same pictures, "
                    f"{row.method} was on {_pictures(row.views, row.size)}, now it is "
                    f"{_pictures(*views)}; ask for it too, or name another folder with --out"
                )

    def note_origins(self, rows: Sequence[QualityRow], asked: Collection[tuple[str, str]]) -> None:
        """Say, here and in the report, which rows are of other settings or other code."""
        known = {variant.name: variant for variant in (*METHODS, *ABLATIONS)}
        own = [row for row in rows if row.scene == self.name]
        for method, row in {row.method: row for row in own}.items():
            notes = []
            if (self.name, method) not in asked:
                notes.append("as measured before")
                variant = known.get(method)
                if variant is None:
                    notes.append("a method that is no more")
                elif row.is_measured and row.settings != self.trainings.settings_digest(variant):
                    notes.append("with other settings than the config's")
            if row.is_measured and row.code != code_version():
                notes.append(f"by other code of the networks ({row.code or 'unknown'})")
            if row.is_measured and {*row.trained_code.split(" + ")} != {row.code}:
                notes.append(f"trained by other code of the networks ({row.trained_code})")
            if notes:
                self.notes.append(f"{self.name}: {method}, {', '.join(notes)}")
        for note in self.notes:
            self.console.print(note, highlight=False, markup=False)

    def rows_of(self, variant: Variant, known: Sequence[QualityRow]) -> list[QualityRow]:
        """A row for each sample count; those measured before are taken over."""
        blank = QualityRow(
            self.name,
            variant.name,
            variant.title,
            0,
            is_ablation=variant in ABLATIONS,
            is_bound=variant.is_bound,
        )
        if is_said_already(variant, self.config):
            return [replace(blank, note="this is what the config says already: see donerf")]
        try:
            scene = self.trainings.scene_of(variant)
        except NotTrainedError as error:
            self.console.print(f"{self.name}: {error}", highlight=False, markup=False)
            return [replace(blank, note=str(error))]
        # The compiled path would hand other placements on; a row must name who really rendered it.
        backend = "auto" if variant.placement == "oracle" else "eager"
        renderer = make_renderer(scene, self.config.device, self.config.precision, backend)
        try:
            return self._measured(variant, scene, renderer, known, blank)
        finally:
            renderer.close()

    def _measured(
        self,
        variant: Variant,
        scene: Scene,
        renderer: Renderer,
        known: Sequence[QualityRow],
        blank: QualityRow,
    ) -> list[QualityRow]:
        height, width = self.views.colors.shape[1:3]
        info = renderer.info
        runs = self.runs(variant)
        trained = [scene.metadata.provenance[part] for part in runs]
        seconds, tflop = self.training_cost(variant, scene)
        blank = replace(
            blank,
            backend=info.backend,
            precision=info.precision,
            views=len(self.views.cameras),
            size=(width, height),
            train_seconds=seconds,
            train_tflop=tflop,
            train_steps=" + ".join(str(part["steps"]) for part in trained),
            sha256=scene.metadata.sha256,
            settings=self.trainings.settings_digest(variant),
            code=code_version(),
            trained_code=" + ".join(part.get("code", "unknown") for part in trained),
            machine=machine_name(),
        )
        if variant not in ABLATIONS:
            looks = VALIDATED_COUNTS if info.sample_counts is None else info.sample_counts
            count = min(looks, key=lambda looked: abs(looked - self.grid_samples))
            points = training_points(runs, scene, count)
            device = trained[-1]["device"]
            self.curves.append(
                TrainingCurve(self.name, variant.name, variant.title, count, points, device)
            )
        rows = []
        for samples in self.counts(variant, renderer):
            row = replace(blank, samples=samples)
            before = [old for old in known if old.is_same_measurement(row)]
            rows.append(before[0] if before else self._measure(row, variant, scene, renderer))
        changes = {what for old in known if old.is_measured for what in blank.differences(old)}
        if changes:
            self.console.print(
                f"{self.name}: {variant.name} was measured with other "
                f"{' and other '.join(sorted(changes))} before; those numbers are replaced",
                highlight=False,
            )
        self._save_picture(variant, scene, renderer)
        return rows

    def training_cost(self, variant: Variant, scene: Scene) -> tuple[float, float]:
        """Seconds and TFLOP of all trainings that a variant stands on, its teacher's among them."""
        runs = self.runs(variant)
        seconds = sum(scene.metadata.provenance[part]["seconds"] for part in runs)
        tflop = training_cost(runs, scene)
        if variant.teacher is None:
            return seconds, tflop
        teacher = variant_named(variant.teacher)
        taught_by = self.trainings.scene_of(teacher)
        # Its oracle is the student's too, and paid for once.
        own: dict[Network, Path] = {"shading": self.trainings.run_folder(teacher, "shading")}
        seconds += taught_by.metadata.provenance["shading"]["seconds"]
        return seconds, tflop + training_cost(own, taught_by)

    def counts(self, variant: Variant, renderer: Renderer) -> tuple[int, ...]:
        """Samples a ray that a variant is measured at."""
        return renderer.info.sample_counts or variant.counts or self.settings.samples

    def shown_count(self, variant: Variant, renderer: Renderer) -> int:
        """The one of them that pictures and training views are looked at with."""
        counts = self.counts(variant, renderer)
        return min(counts, key=lambda count: abs(count - self.grid_samples))

    def picture(self, method: str, samples: int, sha256: str) -> Path:
        """Where a method's picture of the first view lies."""
        return self.folder / method / f"S{samples}_{sha256[:8]}.png"

    def _measure(
        self, row: QualityRow, variant: Variant, scene: Scene, renderer: Renderer
    ) -> QualityRow:
        found = evaluate(renderer, scene, self.views, row.samples, variant.placement)
        self.console.print(
            f"{self.name}: {variant.name}, S = {row.samples}: {found.psnr:.2f} dB", highlight=False
        )
        seen = None
        if row.samples == self.shown_count(variant, renderer):
            views = self.training_views
            seen = evaluate(renderer, scene, views, row.samples, variant.placement).psnr
        return replace(
            row,
            train_psnr=seen,
            psnr=found.psnr,
            ssim=found.ssim,
            flip=found.flip,
            edge_psnr=found.edge_psnr,
            edge_ssim=found.edge_ssim,
            edge_flip=found.edge_flip,
            mflop=found.mflop_per_pixel,
            mflop_formula=parameter_mflop(scene, row.samples, variant.placement),
            ms=found.ms_per_frame,
        )

    def _save_picture(self, variant: Variant, scene: Scene, renderer: Renderer) -> None:
        """The first view, for the grids; the name says of which networks it is."""
        samples = self.shown_count(variant, renderer)
        path = self.picture(variant.name, samples, scene.metadata.sha256)
        if path.exists():
            return
        options = options_for(self.views, 0, samples, variant.placement)
        frame = renderer.render(self.views.cameras[0], options)
        assert frame is not None, "nobody cancels a benchmark"
        picture = frame.image[..., :3].cpu().numpy()
        write_atomically(path, lambda beside: iio.imwrite(beside, picture))


def _pictures(views: int, size: tuple[int, int]) -> str:
    return f"{views} views of {size[0]}x{size[1]}"


@dataclass(frozen=True)
class GridPicture:
    """One method's picture of a view; error: (H, W) FLIP, None where it is not installed."""

    title: str
    picture: np.ndarray
    error: np.ndarray | None


def grid_pictures(sweep: SceneSweep, rows: Sequence[QualityRow]) -> list[GridPicture]:
    """The truth and every measured method's picture of the first view, with its FLIP map."""
    truth = sweep.views.colors[0].numpy()
    found = [GridPicture("truth", truth, None)]
    for row in rows:
        path = sweep.picture(row.method, row.samples, row.sha256)
        if row.scene == sweep.name and row.is_measured and not row.is_ablation and path.exists():
            picture = iio.imread(path)
            error = flip_map(picture, truth)
            title = f"{row.title}\n{row.samples} samples"
            found.append(GridPicture(title, picture, None if error is None else error[1]))
    return found


def some_views(dataset: Dataset, count: int | None) -> Dataset:
    """So many views of a data set, taken evenly; all of them where there are no more."""
    total = len(dataset.cameras)
    if count is None or count >= total:
        return dataset
    kept = [round(i * (total - 1) / max(count - 1, 1)) for i in range(count)]
    return replace(
        dataset,
        cameras=[dataset.cameras[i] for i in kept],
        names=[dataset.names[i] for i in kept],
        colors=dataset.colors[kept],
        distances=None if dataset.distances is None else dataset.distances[kept],
    )
