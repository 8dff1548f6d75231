"""The command line of the trainings: a config file, a run folder, and any setting."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import ValidationError

from donerf.command import unknown_words
from donerf.command_line import read_command_line
from donerf.config import Config, explain, load_config


@dataclass(frozen=True)
class _Options:
    config_file: Annotated[
        Path, tyro.conf.Positional, tyro.conf.arg(help_behavior_hint="(required)")
    ]
    """TOML file of the scene; what it leaves out has the defaults shown below."""
    settings: Annotated[Config, tyro.conf.arg(name="")]
    run_folder: Path | None = None
    """Where checkpoints, log and state go; runs/<config's name>/<network> if not given."""
    oracle_run: Path | None = None
    """Shading only: the run folder of the oracle to stand on; runs/<config's name>/oracle."""
    shading_run: Path | None = None
    """Joint only: the run folder of the networks to go on with; runs/<config's name>/shading."""
    resume: bool = False
    """Go on with the run in that folder where it stopped."""


@dataclass(frozen=True)
class TrainingArguments:
    """What a training was asked to do."""

    config: Config
    run_folder: Path
    oracle_run: Path
    shading_run: Path
    output: Path
    resume: bool


def parse_training_arguments(
    arguments: Sequence[str], network: str, description: str, prog: str
) -> TrainingArguments:
    """Read the command line of a training.

    The config file comes first and gives the defaults of all the other options, so it is read
    before they are parsed.

    network:  'oracle', 'shading', 'joint' or 'nerf', the default name of the run folder
    """
    wants_help = any(argument in ("-h", "--help") for argument in arguments)
    first = arguments[0] if arguments else ""
    if not wants_help and (not first or first.startswith("-")):
        raise ValueError(
            f"a training starts with its config file: {prog} configs/courtyard_small.toml"
        )
    file = (
        Path(first) if first and not first.startswith("-") else Path("configs/courtyard_small.toml")
    )
    _refuse_names_without_section(arguments, network, prog)
    defaults = Config() if wants_help and not file.exists() else load_config(file)
    try:
        options = read_command_line(
            _Options,
            arguments,
            prog,
            description=description,
            default=_Options(config_file=file, settings=defaults),
        )
    except ValidationError as error:
        raise ValueError(explain(error, "the command line")) from None
    base = Path("runs") / file.stem
    return TrainingArguments(
        config=options.settings,
        run_folder=options.run_folder or base / network,
        oracle_run=options.oracle_run or base / "oracle",
        shading_run=options.shading_run or base / "shading",
        # Beside the default run; inside a named one, whose neighbors may have files of their own.
        output=(options.run_folder or base) / f"{file.stem}.donerf",
        resume=options.resume,
    )


def _refuse_names_without_section(arguments: Sequence[str], network: str, prog: str) -> None:
    """Answer `--steps` with the setting of this training that has the name, not of any other."""
    whole = (
        "run-folder",
        "oracle-run",
        "shading-run",
        "resume",
        "no-resume",
        "help",
        "device",
        "precision",
    )
    options = {name: f"--{name}" for name in whole}
    sections = (f"{network}_training", network) if network != "joint" else ("joint_training",)
    for section in sections:
        for field in type(getattr(Config(), section)).model_fields:
            option = f"{section}.{field}".replace("_", "-")
            options.setdefault(option.partition(".")[2], f"--{option}")
    for word in arguments:
        name = word.partition("=")[0].removeprefix("--").replace("_", "-")
        if not word.startswith("--") or "." in name or name in whole:
            continue
        if near := difflib.get_close_matches(name, options, n=1):
            raise ValueError(unknown_words([word.partition("=")[0]], prog, options[near[0]]))
