"""Train what a quality benchmark still lacks: one run folder a network, resumed or skipped."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from donerf.config import Config, load_config
from donerf.evaluation.training_curves import mean_rays
from donerf.evaluation.variants import Network, Variant, narrowed, variant_named
from donerf.scene_file import Scene, load_scene
from donerf.training.joint import train_joint
from donerf.training.nerf import train_nerf
from donerf.training.oracle import train_oracle
from donerf.training.run import DivergedError, check_settings_but_machine, checkpoints
from donerf.training.shading import train_shading

_STANDS_ON: dict[Network, tuple[Network, ...]] = {
    "oracle": (),
    "shading": ("oracle",),
    "joint": ("oracle", "shading"),
    "nerf": (),
}
Before = dict[Network, Path]

_TRIAL_STEPS = 40
"""Timed to know how many steps some minutes have room for."""


@dataclass(frozen=True)
class Budget:
    """How long each network trains: by steps of its kind, by minutes, or as its config says."""

    oracle_steps: int | None = None
    shading_steps: int | None = None
    nerf_steps: int | None = None
    joint_steps: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        steps = (self.oracle_steps, self.shading_steps, self.nerf_steps, self.joint_steps)
        if self.minutes is not None and any(count is not None for count in steps):
            raise ValueError("a budget is in steps or in minutes, got both; leave one out")
        if (fewest := min((count for count in steps if count is not None), default=1)) < 1:
            raise ValueError(f"a budget must be 1 step or more, got {fewest}")
        if self.minutes is not None and not self.minutes > 0:
            raise ValueError(f"a budget must be more than 0 minutes, got {self.minutes}")

    def steps_of(self, network: Network) -> int | None:
        """Steps asked for, None where none were."""
        return getattr(self, f"{network}_steps")


class NotTrainedError(ValueError):
    """A variant has no networks to measure; says which and why."""


@dataclass(frozen=True)
class Trainings:
    """The trainings of one scene's variants.

    folder:      holds <variant>/<network>, the run folders
    may_train:   false: only what is there is taken
    """

    config: Config
    folder: Path
    budget: Budget
    may_train: bool
    console: Console

    def scene_of(self, variant: Variant) -> Scene:
        """The trained scene of a variant; NotTrainedError where it is missing or unfinished."""
        if variant.teacher is not None:
            self.scene_of(variant_named(variant.teacher))
        *before, last = variant.networks
        for network in before:
            self._trained(variant, network)
        return self._trained(variant, last)

    def progress(self, variant: Variant) -> dict[Path, tuple[int, int]]:
        """Steps taken and steps asked for in each run folder that a variant stands on."""
        teacher = variant.teacher and variant_named(variant.teacher)
        progress = self.progress(teacher) if teacher else {}
        for network in variant.networks:
            run = self.run_folder(variant, network)
            training = getattr(self._config(variant, network), f"{network}_training")
            progress[run] = (steps_taken(run), training.steps)
        return progress

    def run_folder(self, variant: Variant, network: Network) -> Path:
        """Where a network of a variant is trained, or the one that it stands on was."""
        is_of_base = network == "oracle" or (network == "shading" and variant.is_joint)
        owner = (variant.base if is_of_base else None) or variant.name
        return self.folder / owner / network

    def settings_digest(self, variant: Variant) -> str:
        """Of all that makes a variant's networks what they are but the budget and the machine."""
        config = narrowed(variant.config(self.config), variant.networks[-1])
        tree = config.model_dump(mode="json")
        for section in (name for name in tree if name.endswith("_training")):
            for other in ("steps", "warmup_steps", "checkpoint_every"):
                del tree[section][other]
        del tree["device"], tree["precision"]
        return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:12]

    def _before(self, variant: Variant, network: Network) -> Before:
        """The runs that a network's training stands on, the one that it begins with last."""
        return {other: self.run_folder(variant, other) for other in _STANDS_ON[network]}

    def _config(self, variant: Variant, network: Network) -> Config:
        """What a network of a variant is trained with, the budget included."""
        config = variant.config(self.config)
        if variant.teacher is not None and network == "shading":
            file = self._last_checkpoint(variant_named(variant.teacher))
            training = config.shading_training.model_copy(update={"teacher": file})
            config = config.model_copy(update={"shading_training": training})
        before = self._before(variant, network)
        for other, folder in before.items():
            steps = _begun(folder, other)  # A run's settings hold those of what it stands on.
            config = config if steps is None else with_steps(config, other, steps)
        run, times = self.run_folder(variant, network), self._steps_for_one(variant, network)
        return self._with_budget(narrowed(config, network), run, network, before, times)

    def _last_checkpoint(self, teacher: Variant) -> Path:
        """Where a teacher lies when it is trained."""
        steps = self._config(teacher, "shading").shading_training.steps
        return self.run_folder(teacher, "shading") / f"{steps:06d}.donerf"

    def _trained(self, variant: Variant, network: Network) -> Scene:
        run, before = self.run_folder(variant, network), self._before(variant, network)
        config = self._config(variant, network)
        begun = (run / "state.safetensors").exists()
        if not begun and run.exists() and not checkpoints(run):
            shutil.rmtree(run)  # It was killed while it began.
        if begun:
            check_settings_but_machine(run, config)  # One that goes on is checked as a whole.
        steps = getattr(config, f"{network}_training").steps
        taken, name = steps_taken(run), f"{run.parent.name}/{network}"
        if taken >= steps:
            return load_scene(checkpoints(run)[-1])
        if not self.may_train:
            came = f"{taken} of {steps} steps" if taken else "nothing"
            raise NotTrainedError(f"not measured: {name} is trained for {came}")
        self.console.print(f"training {name}", highlight=False)
        try:
            train(network, config, run, begun, before, self.console)
        except DivergedError as error:
            raise NotTrainedError(f"not measured: {name} failed, {error}") from None
        return load_scene(checkpoints(run)[-1])

    def _steps_for_one(self, variant: Variant, network: Network) -> float:
        """How many of a variant's steps stand for one of ours."""
        if not variant.is_matched:
            return 1.0
        own = variant.config(self.config)
        return mean_rays(self.config, network) / mean_rays(own, network)

    def _with_budget(
        self, config: Config, run: Path, network: Network, before: Before, times: float
    ) -> Config:
        """The config with the steps of the budget; minutes are steps once a run is begun.

        times:  steps of this variant in place of one
        """
        if self.budget.minutes is None:
            asked = self.budget.steps_of(network) or getattr(config, f"{network}_training").steps
            return with_steps(config, network, max(round(asked * times), 1))
        steps = _begun(run, network)
        if steps is None and self.may_train:
            steps = steps_in(self.budget.minutes, network, config, before)
        return config if steps is None else with_steps(config, network, steps)


def train(
    network: Network,
    config: Config,
    run: Path,
    resume: bool,
    before: Before,
    console: Console,
) -> Scene:
    """One of the loops.

    before:  the runs that a shading network or a joint training stands on, the last one nearest
    """
    if network == "oracle":
        return train_oracle(config, run, resume, console)
    if network == "nerf":
        return train_nerf(config, run, resume, console)
    train_on = train_shading if network == "shading" else train_joint
    return train_on(config, run, list(before.values())[-1], resume, console)


def with_steps(config: Config, network: Network, steps: int) -> Config:
    """The config with another length of one training; its warm-up is a tenth of it at most."""
    section = f"{network}_training"
    training = getattr(config, section)
    warmup = min(training.warmup_steps, steps // 10)
    changed = training.model_copy(update={"steps": steps, "warmup_steps": warmup})
    return config.model_copy(update={section: changed})


def steps_in(minutes: float, network: Network, config: Config, before: Before) -> int:
    """How many steps such a training does in some minutes here, by a short trial of it."""
    with tempfile.TemporaryDirectory() as folder:
        run, trial = Path(folder) / "trial", with_steps(config, network, _TRIAL_STEPS)
        train(network, trial, run, False, before, Console(quiet=True))
        last = json.loads((run / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    # The clock of a run stands at the step before while a checkpoint is written.
    return max(int(minutes * 60 * (_TRIAL_STEPS - 1) / max(last["seconds"], 0.01)), 1)


def steps_taken(run: Path) -> int:
    """Steps up to a run's newest checkpoint; 0 without one."""
    found = checkpoints(run)
    return int(found[-1].stem) if found else 0


def _begun(run: Path, network: Network) -> int | None:
    """Steps that a run folder was begun with; None of no run."""
    file = run / "config.toml"
    return getattr(load_config(file), f"{network}_training").steps if file.exists() else None
