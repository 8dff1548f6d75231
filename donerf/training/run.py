"""A run folder: everything about one training, so that nothing is lost and it can go on.

    config.toml          the settings as resolved
    <step>.donerf        checkpoints, each a whole scene file (the newest few are kept)
    state.safetensors    weights, averages, optimizer and random state, to resume from
    log.jsonl            one line a report: step, time, loss, rays, validation quality

Each file is written beside and renamed into place.
"""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import safetensors
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn

from donerf.config import (
    Config,
    JointTrainingSettings,
    ShadingTrainingSettings,
    TrainingSettings,
    load_config,
)
from donerf.files import append_line, write_tensors, write_text
from donerf.memory import keep_freed_memory
from donerf.model.hash_grid import HashGrid
from donerf.model.nerf import NerfNetworks
from donerf.model.oracle import DepthOracle
from donerf.model.shading import ShadingNetwork
from donerf.precision import choose_device, choose_precision
from donerf.scene_file import Scene, load_scene, save_scene
from donerf.training.hard_rays import ErrorMap

_KEPT_CHECKPOINTS = 2
_REPORT_SECONDS = 0.5


class BothNetworks(nn.Module):
    """Oracle and shading network, for a training that moves both."""

    def __init__(self, oracle: DepthOracle, shading: ShadingNetwork) -> None:
        super().__init__()
        self.oracle, self.shading = oracle, shading


Trained = DepthOracle | ShadingNetwork | BothNetworks | NerfNetworks
_NAMES = {
    DepthOracle: "oracle",
    ShadingNetwork: "shading",
    BothNetworks: "both networks",
    NerfNetworks: "NeRF",
}


class Trainer:
    """A network on its way: optimizer, averaged weights, learning rate, random state.

    errors:  where the hard rays are, which a resumed training must know
    seconds:      by the clock on the wall
    cpu_seconds:  of one core, all cores together; stands still where other work is done instead
    """

    def __init__(
        self,
        network: Trained,
        settings: TrainingSettings,
        device: torch.device,
        errors: ErrorMap | None = None,
    ) -> None:
        keep_freed_memory()
        self.network, self.settings, self.errors = network, settings, errors
        self.parameters = dict(network.named_parameters())
        self.averaged = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.optimizers = optimizers_for(network, settings)
        self.generator = torch.Generator(device).manual_seed(settings.seed)
        self.step = 0
        self.rays = 0
        self.seconds = 0.0
        self.cpu_seconds = 0.0

    def learning_rate(self, step: int) -> float:
        """Linear warm-up, then half a cosine, or a steady decay, down to the final rate."""
        settings = self.settings
        if step < settings.warmup_steps:
            return settings.learning_rate * (step + 1) / settings.warmup_steps
        progress = (step - settings.warmup_steps) / max(settings.steps - settings.warmup_steps, 1)
        progress = min(progress, 1)
        if settings.decay == "exponential":
            ratio = settings.final_learning_rate / settings.learning_rate
            return settings.learning_rate * ratio**progress
        cosine = (1 + math.cos(math.pi * progress)) / 2
        span = settings.learning_rate - settings.final_learning_rate
        return settings.final_learning_rate + span * cosine

    def update(self, loss: Tensor) -> None:
        """One optimizer step down the gradient of `loss`, and one of the average."""
        self.network.zero_grad()
        loss.backward()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate(self.step) * group.get("share", 1.0)
            optimizer.step()
        self.step += 1
        # Early on the average forgets faster, or it would remember the initialization.
        decay = min(self.settings.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                self.averaged[name].lerp_(parameter, 1 - decay)

    def copy_averaged_into(self, network: nn.Module) -> None:
        """Give another network of the same shape the averaged weights."""
        for name, parameter in network.named_parameters():
            parameter.data.copy_(self.averaged[name])

    def state(self) -> dict[str, Tensor]:
        """Everything that a resumed training needs, as named tensors."""
        tensors = {f"weights.{name}": p.detach() for name, p in self.parameters.items()}
        tensors |= {f"averaged.{name}": p for name, p in self.averaged.items()}
        for i, optimizer in enumerate(self.optimizers):
            for index, values in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{i}.{index}.{key}": v for key, v in values.items()}
        if self.errors is not None:
            tensors["errors"] = self.errors.errors
        tensors["random"] = self.generator.get_state()
        tensors["step"] = torch.tensor(self.step)
        tensors["rays"] = torch.tensor(self.rays)
        tensors["seconds"] = torch.tensor(self.seconds, dtype=torch.float64)
        tensors["cpu_seconds"] = torch.tensor(self.cpu_seconds, dtype=torch.float64)
        return {name: tensor.cpu().contiguous().clone() for name, tensor in tensors.items()}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Inverse of `state`."""
        states: list[dict[int, dict[str, Tensor]]] = [{} for _ in self.optimizers]
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, i, index, key = name.split(".")
                states[int(i)].setdefault(int(index), {})[key] = tensor
        for name, parameter in self.parameters.items():
            parameter.data.copy_(tensors[f"weights.{name}"])
            self.averaged[name].copy_(tensors[f"averaged.{name}"])
        for optimizer, state in zip(self.optimizers, states, strict=True):
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": state, "param_groups": groups})
        if self.errors is not None:
            self.errors.errors.copy_(tensors["errors"])
        self.generator.set_state(tensors["random"])
        self.step = int(tensors["step"])
        self.rays = int(tensors["rays"])
        self.seconds = float(tensors["seconds"])
        self.cpu_seconds = float(tensors.get("cpu_seconds", 0.0))  # Older states lack it.


def optimizers_for(network: Trained, settings: TrainingSettings) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices and Adam for the rest, or Adam for all.

    Muon makes every direction of a matrix learn at the same speed; Adam alone takes several times
    the steps to the same quality. A hash grid's tables are no matrices: their rows are features of
    many places, most of which no ray of a step has seen. Where both networks learn together, the
    oracle and the tables have rates of their own.
    """
    if isinstance(network, BothNetworks):
        assert isinstance(settings, JointTrainingSettings)
        if settings.oracle_rate == 0:
            return optimizers_for(network.shading, settings)
        of_oracle = optimizers_for(network.oracle, settings)
        for optimizer in of_oracle:
            for group in optimizer.param_groups:
                group["share"] = settings.oracle_rate
        return of_oracle + optimizers_for(network.shading, settings)
    rate = settings.learning_rate
    tables = [p for m in network.modules() if isinstance(m, HashGrid) for p in m.parameters()]
    known = {id(table) for table in tables}
    layers = [p for p in network.parameters() if id(p) not in known]
    optimizers: list[torch.optim.Optimizer]
    if settings.optimizer == "adam":
        optimizers = [torch.optim.Adam(layers, lr=rate, fused=True)]
    else:
        outputs = {id(layer.weight) for layer in network.output_layers()}
        hidden = [p for p in layers if p.ndim == 2 and id(p) not in outputs]
        others = [p for p in layers if p.ndim != 2 or id(p) in outputs]
        optimizers = [
            torch.optim.Muon(hidden, lr=rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"),
            torch.optim.Adam(others, lr=rate, eps=1e-15, fused=True),
        ]
    if tables:
        assert isinstance(settings, ShadingTrainingSettings), "only points of shading have a grid"
        group = {"params": tables, "share": settings.grid_learning_rate / rate}
        optimizers.append(torch.optim.Adam([group], lr=rate, eps=1e-15, fused=True))
    return optimizers


class DivergedError(ValueError):
    """A training's loss is no number any more."""


class Stopped(KeyboardInterrupt):
    """Ctrl-C came, and the training stands between two steps, so that it can be saved."""


@contextmanager
def _ctrl_c_between_steps() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C wait for the end of a step; a second one acts at once.

    In the middle of a step the random state and the weights do not belong together, and a
    training resumed from there would not be the one that was interrupted.

    yields:  says whether Ctrl-C came
    """
    came: list[bool] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(True)
        signal.signal(signal.SIGINT, before)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # Only the main thread may handle signals.
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGINT, before)


class Run:
    """One training's folder. Made by `open_run`."""

    def __init__(self, folder: Path, trainer: Trainer, console: Console) -> None:
        self.folder, self.trainer, self.console = folder, trainer, console
        self._progress_fields: dict[str, str] = {}

    def steps(self) -> Iterator[int]:
        """Yield the steps that are left, with a progress bar: loss, rays/s, time left."""
        trainer = self.trainer
        total = trainer.settings.steps
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[report]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        started = last = time.perf_counter()
        cpu_started = time.process_time()
        seconds_before, cpu_before = trainer.seconds, trainer.cpu_seconds
        rays_before = trainer.rays
        with (
            _ctrl_c_between_steps() as is_stopped,
            Progress(*columns, console=self.console) as progress,
        ):
            name = _NAMES[type(trainer.network)]
            task = progress.add_task(name, total=total, completed=trainer.step, report="")
            while trainer.step < total:
                yield trainer.step
                now = time.perf_counter()
                trainer.seconds = seconds_before + now - started
                trainer.cpu_seconds = cpu_before + time.process_time() - cpu_started
                if now - last > _REPORT_SECONDS or trainer.step == total:
                    last = now
                    rate = (trainer.rays - rays_before) / (now - started)
                    self._progress_fields["rays"] = f"{rate / 1000:.0f}k rays/s"
                    report = "  ".join(self._progress_fields.values())
                    progress.update(task, completed=trainer.step, report=report)
                if is_stopped():
                    raise Stopped

    def is_due(self) -> bool:
        """Whether a checkpoint is to be written after this step."""
        settings, step = self.trainer.settings, self.trainer.step
        return step % settings.checkpoint_every == 0 or step == settings.steps

    def report(self, loss: Tensor, rays: int) -> None:
        """Count the rays of a step; show and log the loss at every hundredth."""
        self.trainer.rays += rays
        step = self.trainer.step
        if step % 100 == 0:
            value = float(loss.detach())
            if not math.isfinite(value):
                raise DivergedError(
                    f"the loss must stay finite, got {value} at step {step}; begin a new run with "
                    "a lower learning rate"
                )
            self._progress_fields["loss"] = f"loss {value:.5f}"
            self.log({"loss": value, "rays": self.trainer.rays})

    def log(self, values: dict[str, Any]) -> None:
        """Append one line to the log."""
        times = {
            "seconds": round(self.trainer.seconds, 2),
            "cpu_seconds": round(self.trainer.cpu_seconds, 2),
        }
        line = {"step": self.trainer.step, **times, **values}
        append_line(self.folder / "log.jsonl", json.dumps(line))

    def show(self, text: str) -> None:
        """Print a line above the progress bar."""
        self.console.print(text, highlight=False)

    def save(self, scene: Scene) -> Path:
        """Write a checkpoint and the state to resume from; keep the newest few."""
        path = self.folder / f"{self.trainer.step:06d}.donerf"
        save_scene(scene, path)
        self.save_state()
        for old in checkpoints(self.folder)[:-_KEPT_CHECKPOINTS]:
            old.unlink()
        return path

    def save_state(self) -> None:
        """Write what a resumed training needs."""
        write_tensors(self.folder / "state.safetensors", self.trainer.state(), {})


def resolve(config: Config, folder: Path, resume: bool, width: int) -> Config:
    """Decide the device and the precision: those that the run was begun with, else now.

    A precision that was timed anew could be another one, and the run no longer the same.
    """
    file = folder / "config.toml"
    if resume and file.exists():
        begun = load_config(file)
        device = begun.device if config.device == "auto" else config.device
        precision = begun.precision if config.precision == "auto" else config.precision
        config = config.model_copy(update={"device": device, "precision": precision})
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device, width)
    return config.model_copy(update={"device": device.type, "precision": precision})


def open_run(folder: Path, config: Config, trainer: Trainer, resume: bool, console: Console) -> Run:
    """Begin a run folder, or go on with one.

    Raises ValueError when the folder holds a run already and `resume` is not asked for, or when
    it was made with other settings.
    """
    state = folder / "state.safetensors"
    if not resume:
        if folder.exists() and any(folder.iterdir()):
            raise ValueError(
                f"the run folder must be new or empty, {folder} holds a run already; go on with "
                "it by --resume, or name another with --run-folder"
            )
        write_text(folder / "config.toml", to_toml(config))
        run = Run(folder, trainer, console)
        run.save_state()  # A run that is killed before its first checkpoint can be resumed too.
        return run
    if not state.exists():
        raise FileNotFoundError(
            f"nothing to resume: {state} does not exist; start the run without --resume"
        )
    check_settings(folder, config)
    try:
        with safetensors.safe_open(state, framework="pt") as file:
            trainer.load_state({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (safetensors.SafetensorError, KeyError, RuntimeError) as error:
        raise ValueError(
            f"the saved state {state} cannot be read ({error}); begin again with a new --run-folder"
        ) from None
    return Run(folder, trainer, console)


def check_settings(folder: Path, config: Config) -> None:
    """Refuse to go on with a run with other settings than it was begun with."""
    saved = load_config(folder / "config.toml")
    if saved != config:
        raise ValueError(
            f"a run goes on with the settings it was begun with; those in {folder}/config.toml "
            f"differ: {_difference(saved, config)}; use the same ones, or a new --run-folder"
        )


def check_settings_but_machine(folder: Path, config: Config) -> None:
    """The same for a run that is only read: any machine may measure what another one trained."""
    begun = load_config(folder / "config.toml")
    machine = {"device": begun.device, "precision": begun.precision}
    check_settings(folder, config.model_copy(update=machine))


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a run folder, oldest first."""
    return sorted(path for path in folder.glob("*.donerf") if path.stem.isdigit())


def newest_checkpoint(folder: Path, program: Literal["oracle", "shader"] = "oracle") -> Scene:
    """The scene that a run has come to.

    program:  `donerf train` of what makes such a run
    """
    found = checkpoints(folder)
    if not found:
        network = "shading" if program == "shader" else program
        raise FileNotFoundError(
            f"no trained {network} in {folder}; run `donerf train {program}` with the same config "
            f"first, or name its run folder with --{network}-run"
        )
    return load_scene(found[-1])


def to_toml(config: Config) -> str:
    """A config as TOML, every setting that has a value written out."""
    lines: list[str] = []
    tree = config.model_dump(mode="json")
    lines += [f"{key} = {_toml(v)}" for key, v in tree.items() if not isinstance(v, dict)]
    for section, values in tree.items():
        if isinstance(values, dict):
            lines += ["", f"[{section}]"]
            # TOML has no word for nothing.
            stated = {key: value for key, value in values.items() if value is not None}
            lines += [f"{key} = {_toml(value)}" for key, value in stated.items()]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    """A plain value; TOML writes it as JSON does, but for escaped surrogates and DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _difference(saved: Config, config: Config) -> str:
    """The first setting that differs, with both values."""
    before, now = saved.model_dump(), config.model_dump()
    for section, values in before.items():
        if values != now[section]:
            if not isinstance(values, dict):
                return f"'{section}' was {values!r}, is {now[section]!r}"
            key = next(key for key in values if values[key] != now[section][key])
            return f"'{section}.{key}' was {values[key]!r}, is {now[section][key]!r}"
    return "nothing"
