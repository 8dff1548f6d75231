"""The export of films: whole files or none, progress, and an encoder that is missing or fails."""

import stat
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from viewer_scene import CELL, make_scene

from donerf import Camera, Renderer, make_renderer
from viewer.film import find_encoder, open_film
from viewer.film_export import FilmProgress, FilmSettings, Summary, export_film
from viewer.fly_camera import FlyFrame, make_camera
from viewer.render_modes import RenderMode

OUTS = ["fly.mp4", "fly.gif", "frames"]
SIZE = (16, 12)


@pytest.fixture
def renderer() -> Iterator[Renderer]:
    renderer = make_renderer(make_scene(), device="cpu", precision="fp32")
    yield renderer
    renderer.close()


def cameras(count: int) -> list[Camera]:
    frame = FlyFrame(CELL)
    poses = [frame.turned(frame.home(), left=0.02 * i, up=0.0) for i in range(count)]
    return [make_camera(frame.matrix(pose), *SIZE, CELL.fov_x) for pose in poses]


def export(
    renderer: Renderer, out: Path, count: int = 4, stop_after: int | None = None
) -> tuple[Summary | None, list[FilmProgress]]:
    """Film into `out`; stopped after so many pictures."""
    seen: list[FilmProgress] = []
    settings = FilmSettings(out, SIZE, 2, RenderMode.COLOR, 24)
    summary = export_film(
        renderer,
        CELL,
        cameras(count),
        settings,
        seen.append,
        lambda: stop_after is not None and len(seen) >= stop_after,
    )
    return summary, seen


@pytest.mark.parametrize("out", OUTS)
def test_a_film_that_is_stopped_leaves_nothing(renderer, tmp_path: Path, out: str):
    summary, seen = export(renderer, tmp_path / out, stop_after=2)

    assert summary is None
    assert len(seen) == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("out", OUTS)
def test_a_film_that_is_stopped_leaves_an_older_one_alone(renderer, tmp_path: Path, out: str):
    export(renderer, tmp_path / out)
    before = sorted(p.stat().st_mtime_ns for p in (tmp_path / out).glob("*")) or [
        (tmp_path / out).stat().st_mtime_ns
    ]
    export(renderer, tmp_path / out, stop_after=1)
    after = sorted(p.stat().st_mtime_ns for p in (tmp_path / out).glob("*")) or [
        (tmp_path / out).stat().st_mtime_ns
    ]

    assert before == after
    assert [p.name for p in tmp_path.iterdir()] == [out]


def test_progress_counts_every_picture_down_to_no_time_left(renderer, tmp_path: Path):
    summary, seen = export(renderer, tmp_path / "frames", count=5)

    assert summary is not None
    assert summary.frames == 5
    assert [p.frames for p in seen] == [1, 2, 3, 4, 5]
    assert {p.total for p in seen} == {5}
    assert all(a.seconds <= b.seconds for a, b in pairwise(seen))
    assert seen[0].seconds_left > 0
    assert seen[-1].seconds_left == 0
    assert seen[0].pixels.shape == (12, 16, 4)


def test_time_left_is_reckoned_at_the_pace_so_far():
    progress = FilmProgress(10, 40, seconds=5.0, pixels=np.zeros((1, 1, 4), np.uint8))

    assert progress.seconds_left == 15.0


def fake_encoder(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def film_black(path: Path) -> None:
    with open_film(path, (640, 480), 24) as film:
        for _ in range(3):
            film.add(np.zeros((480, 640, 4), np.uint8))


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("echo \"Unknown encoder 'libx264'\" >&2; exit 1", "Unknown encoder 'libx264'"),
        ("exit 3", "it does not say why"),
        ("cat > /dev/null; echo 'No space left on device' >&2; exit 1", "No space left"),
    ],
)
def test_an_encoder_that_fails_is_told_in_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, sentence: str
):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(fake_encoder(tmp_path / "ffmpeg", script)))

    with pytest.raises(OSError, match=sentence) as error:
        film_black(tmp_path / "fly.mp4")
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["ffmpeg"]


def test_a_missing_encoder_is_told_with_its_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "nowhere"))

    with pytest.raises(OSError, match="no encoder for mp4 films.*pip install") as error:
        film_black(tmp_path / "fly.mp4")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_the_encoder_comes_along():
    assert Path(find_encoder()).exists()
