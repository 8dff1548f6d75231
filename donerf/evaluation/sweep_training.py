"""Train what a quality benchmark still lacks: one run folder a network, resumed or skipped."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from donerf.config import Config, load_config
from donerf.evaluation.training_curves import mean_rays
from donerf.evaluation.variants import Network, Variant, narrowed
from donerf.scene_file import Scene, load_scene
from donerf.training.joint import train_joint
from donerf.training.nerf import train_nerf
from donerf.training.oracle import train_oracle
from donerf.training.run import DivergedError, check_settings, checkpoints, resolve
from donerf.training.shading import train_shading

_STANDS_ON: dict[Network, tuple[Network, ...]] = {
    "oracle": (),
    "shading": ("oracle",),
    "joint": ("oracle", "shading"),
    "nerf": (),
}
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
        config = variant.config(self.config)
        if variant.is_nerf:
            return self._trained(variant, "nerf", config)
        self._trained(variant, "oracle", config)
        shaded = self._trained(variant, "shading", config)
        return self._trained(variant, "joint", config) if variant.is_joint else shaded

    def run_folder(self, variant: Variant, network: Network) -> Path:
        """Where a network of a variant is trained, or the one that it stands on was."""
        is_of_base = network == "oracle" or (network == "shading" and variant.is_joint)
        owner = (variant.base if is_of_base else None) or variant.name
        return self.folder / owner / network

    def _trained(self, variant: Variant, network: Network, config: Config) -> Scene:
        run = self.run_folder(variant, network)
        before: dict[Network, Path] = {
            other: self.run_folder(variant, other) for other in _STANDS_ON[network]
        }
        for other, folder in before.items():
            steps = _begun(folder, other)  # A run's settings hold those of what it stands on.
            config = config if steps is None else with_steps(config, other, steps)
        stands_on = list(before.values())[-1] if before else None
        times = self._steps_for_one(variant, network)
        config = self._with_budget(narrowed(config, network), run, network, stands_on, times)
        begun = (run / "state.safetensors").exists()
        if not begun and run.exists() and not checkpoints(run):
            shutil.rmtree(run)  # It was killed while it began.
        if begun:
            resolved = resolve(config, run, True, 1)
            check_settings(run, resolved)
        steps = getattr(config, f"{network}_training").steps
        found, name = checkpoints(run), f"{run.parent.name}/{network}"
        if found and int(found[-1].stem) >= steps:
            return load_scene(found[-1])
        if not self.may_train:
            came = f"{int(found[-1].stem)} of {steps} steps" if found else "nothing"
            raise NotTrainedError(f"not measured: {name} is trained for {came}")
        self.console.print(f"training {name}", highlight=False)
        try:
            train(network, config, run, begun, stands_on, self.console)
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
        self, config: Config, run: Path, network: Network, stands_on: Path | None, times: float
    ) -> Config:
        """The config with the steps of the budget; minutes are steps once a run is begun.

        times:  steps of this variant in place of one
        """
        if self.budget.minutes is None:
            asked = self.budget.steps_of(network) or getattr(config, f"{network}_training").steps
            return with_steps(config, network, max(round(asked * times), 1))
        steps = _begun(run, network)
        if steps is None and self.may_train:
            steps = steps_in(self.budget.minutes, network, config, stands_on)
        return config if steps is None else with_steps(config, network, steps)


def train(
    network: Network,
    config: Config,
    run: Path,
    resume: bool,
    stands_on: Path | None,
    console: Console,
) -> Scene:
    """One of the loops.

    stands_on:  the run that a shading network or a joint training begins with
    """
    if network == "oracle":
        return train_oracle(config, run, resume, console)
    if network == "nerf":
        return train_nerf(config, run, resume, console)
    assert stands_on is not None
    train_on = train_shading if network == "shading" else train_joint
    return train_on(config, run, stands_on, resume, console)


def with_steps(config: Config, network: Network, steps: int) -> Config:
    """The config with another length of one training; its warm-up is a tenth of it at most."""
    section = f"{network}_training"
    training = getattr(config, section)
    warmup = min(training.warmup_steps, steps // 10)
    changed = training.model_copy(update={"steps": steps, "warmup_steps": warmup})
    return config.model_copy(update={section: changed})


def steps_in(minutes: float, network: Network, config: Config, stands_on: Path | None) -> int:
    """How many steps such a training does in some minutes here, by a short trial of it."""
    with tempfile.TemporaryDirectory() as folder:
        run, trial = Path(folder) / "trial", with_steps(config, network, _TRIAL_STEPS)
        train(network, trial, run, False, stands_on, Console(quiet=True))
        last = json.loads((run / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    # The clock of a run stands at the step before while a checkpoint is written.
    return max(int(minutes * 60 * (_TRIAL_STEPS - 1) / max(last["seconds"], 0.01)), 1)


def _begun(run: Path, network: Network) -> int | None:
    """Steps that a run folder was begun with; None of no run."""
    file = run / "config.toml"
    return getattr(load_config(file), f"{network}_training").steps if file.exists() else None
