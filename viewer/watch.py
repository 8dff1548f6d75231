"""A training that is watched while it runs: its newest checkpoint and how far it is.

The files are those of a run folder: `<step>.donerf` checkpoints and `log.jsonl`, written whole and
renamed into place, so whatever is there can be read.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from donerf import Scene, load_scene
from viewer.handover import drain, one_line

POLL_SECONDS = 0.5
# The end of a log is enough: its lines are short, and a long training writes many.
_LOG_TAIL_BYTES = 16_384


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's file, and when it was written: the same name may be written again."""

    path: Path
    modified_ns: int


@dataclass(frozen=True)
class News:
    """What has changed in a run folder.

    text:   how far the training is, for people
    scene:  its newest checkpoint, None when that is not new
    error:  why the newest checkpoint cannot be shown, None when it can
    """

    text: str
    scene: Scene | None = None
    error: str | None = None


def is_run(folder: Path) -> bool:
    """Whether this is the folder of a training, or of a scene's trainings."""
    return bool(_runs(folder))


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """The last checkpoint that was written, of all trainings in the folder; None before any."""
    found: list[Checkpoint] = []
    for run in _runs(folder):
        for path in run.glob("*.donerf"):
            # An old checkpoint is removed when a newer one is there.
            with suppress(FileNotFoundError):
                if path.stem.isdigit():
                    found.append(Checkpoint(path, path.stat().st_mtime_ns))
    return max(found, key=lambda one: (one.modified_ns, one.path.name), default=None)


def wait_for_checkpoint(folder: Path, seconds: float = POLL_SECONDS) -> Path:
    """The newest checkpoint of a training; waits for the first one, after saying so on stderr.

    Raises FileNotFoundError when there is no training to wait for.
    """
    if not is_run(folder):
        raise FileNotFoundError(
            f"there is no training in {folder} (no config.toml); begin one, or name its run folder"
        )
    newest = newest_checkpoint(folder)
    if newest is None:
        print(f"waiting for the first checkpoint in {folder}; Ctrl-C stops", file=sys.stderr)
    while newest is None:
        time.sleep(seconds)
        newest = newest_checkpoint(folder)
    return newest.path


def describe_run(folder: Path) -> str:
    """How far a training is, in a few words, from the end of its log."""
    said: dict[str, Any] = {}
    for line in _log_tail(folder / "log.jsonl"):
        said |= line
    parts = [f"training step {said['step']}" if "step" in said else "training"]
    if isinstance(said.get("loss"), int | float):
        parts.append(f"loss {said['loss']:.4g}")
    # The oracle's validation tells how often a sample lies at the surface, the shading's tells dB.
    validation = said.get("validation")
    if isinstance(validation, dict) and isinstance(validation.get("hit"), int | float):
        parts.append(f"hits {validation['hit']:.1%}")
    quality = said.get("validation_psnr")
    if isinstance(quality, dict) and quality:
        samples, db = list(quality.items())[len(quality) // 2]
        parts.append(f"{db:.2f} dB at S = {samples}")
    return ", ".join(parts)


class RunWatcher:
    """A thread that looks into a run folder now and then."""

    def __init__(
        self, folder: Path, announce: Callable[[], None], seconds: float = POLL_SECONDS
    ) -> None:
        """Start to look.

        announce:  called from the thread when there is news; wakes the window
        seconds:   between two looks
        """
        self.folder = folder
        self._announce = announce
        self._seconds = seconds
        self._news: SimpleQueue[News] = SimpleQueue()
        self._told: tuple[str, str | None] = ("", None)
        self._shown: Checkpoint | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def news(self) -> list[News]:
        """What has changed since the last call, oldest first."""
        return drain(self._news)

    def close(self) -> None:
        """Stop looking."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.is_set():
            news = self._look()
            told = (news.text, news.error)
            if news.scene is not None or told != self._told:
                self._told = told
                self._news.put(news)
                self._announce()
            self._closed.wait(self._seconds)

    def _look(self) -> News:
        newest = newest_checkpoint(self.folder)
        text = describe_run(newest.path.parent if newest is not None else self.folder)
        if newest is None or newest == self._shown:
            return News(text, error=self._told[1])
        try:
            scene = load_scene(newest.path)
        except FileNotFoundError:
            return News(text)  # It has just been replaced by a newer one: the next look finds that.
        # Whatever is wrong with a file, the next checkpoint may be right.
        except Exception as error:
            self._shown = newest
            return News(text, error=one_line(error))
        self._shown = newest
        return News(text, scene)


def _runs(folder: Path) -> list[Path]:
    """The folder itself, or those in it, that hold a training."""
    candidates = [folder, *sorted(path for path in folder.glob("*") if path.is_dir())]
    return [path for path in candidates if (path / "config.toml").is_file()]


def _log_tail(path: Path) -> Iterator[dict[str, Any]]:
    """The last lines of a log, oldest first; one that is just being written is left out."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(size - _LOG_TAIL_BYTES, 0))
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return
    for line in lines if size <= _LOG_TAIL_BYTES else lines[1:]:
        with suppress(ValueError):
            values = json.loads(line)
            if isinstance(values, dict):
                yield values
