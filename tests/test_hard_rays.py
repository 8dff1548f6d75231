"""Hard rays: where pixels are drawn, what is remembered, and trainings that can go on with it."""

from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch.testing import assert_close

from donerf.config import Config
from donerf.data.procedural import write_procedural_dataset
from donerf.scene_file import load_scene
from donerf.training.hard_rays import ErrorMap
from donerf.training.oracle import train_oracle
from donerf.training.run import checkpoints
from donerf.training.shading import train_shading

CPU = torch.device("cpu")
QUIET = Console(quiet=True)
VIEWS, HEIGHT, WIDTH = 3, 20, 30
"""No multiples of a block."""


def error_map(share: float) -> ErrorMap:
    return ErrorMap((VIEWS, HEIGHT, WIDTH), share, CPU)


def pixel(view: int, row: int, column: int) -> int:
    return (view * HEIGHT + row) * WIDTH + column


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_equal_errors_draw_every_pixel_alike(generator: torch.Generator):
    drawn = error_map(1.0).draw(400_000, generator)

    counts = drawn.bincount(minlength=VIEWS * HEIGHT * WIDTH).float()
    expected = 400_000 / (VIEWS * HEIGHT * WIDTH)
    assert len(counts) == VIEWS * HEIGHT * WIDTH
    assert_close(counts.mean(), torch.tensor(expected))
    assert float(counts.min()) > 0.6 * expected and float(counts.max()) < 1.4 * expected


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_a_share_of_pixels_is_drawn_in_proportion_to_their_error(
    share: float, generator: torch.Generator
):
    errors = error_map(share)
    errors.errors.fill_(1.0)
    errors.errors[0] = 9.0  # The upper left block of the first view: 64 of 1800 pixels.
    drawn = errors.draw(200_000, generator)

    view, row, column = drawn // (WIDTH * HEIGHT), drawn // WIDTH % HEIGHT, drawn % WIDTH
    is_hard = (view == 0) & (row < 8) & (column < 8)
    even = 64 / (VIEWS * HEIGHT * WIDTH)
    by_error = 9 * even / (9 * even + 1 - even)
    expected = (1 - share) * even + share * by_error
    assert float(is_hard.float().mean()) == pytest.approx(expected, rel=0.05)


def test_an_error_is_remembered_for_its_block_alone():
    errors = error_map(0.5)
    errors.note(torch.tensor([pixel(1, 19, 29)]), torch.tensor([0.0]))
    errors.note(torch.tensor([pixel(1, 16, 24)]), torch.tensor([0.0]))
    errors.note(torch.tensor([pixel(2, 0, 0)]), torch.tensor([3.0]))

    per_view = 3 * 4
    expected = torch.ones(VIEWS * per_view)
    expected[2 * per_view - 1] = 0.25  # The lower right block of the second view, halved twice.
    expected[2 * per_view] = 2.0
    assert_close(errors.errors, expected)


def config_for(data: Path) -> Config:
    loop = {"rays_per_step": 64, "warmup_steps": 0, "hard_rays": 0.5, "checkpoint_every": 3}
    small = {"width": 16, "layers": 3}
    return Config.model_validate(
        {
            "scene": {"folder": data},
            "oracle": small,
            "shading": small,
            "oracle_training": loop | {"steps": 6},
            "shading_training": loop | {"steps": 6},
            "device": "cpu",
            "precision": "fp32",
        }
    )


class StopAtFirstLook(Console):
    """Interrupts at the first look at the validation views, as Ctrl-C would."""

    def print(self, *objects, **options):
        if objects and "step 3: validation" in str(objects[0]):
            raise KeyboardInterrupt


def test_a_training_that_draws_hard_rays_resumes_bit_for_bit(tmp_path: Path):
    write_procedural_dataset(tmp_path / "scene", size=(24, 20), views=(3, 1, 0), seed=3)
    config = config_for(tmp_path / "scene")
    train_oracle(config, tmp_path / "oracle", False, QUIET)
    train_shading(config, tmp_path / "shading", tmp_path / "oracle", False, QUIET)

    stop = StopAtFirstLook(quiet=True)
    oracle, shading = tmp_path / "oracle_parts", tmp_path / "shading_parts"
    with pytest.raises(KeyboardInterrupt):
        train_oracle(config, oracle, False, stop)
    train_oracle(config, oracle, True, QUIET)
    with pytest.raises(KeyboardInterrupt):
        train_shading(config, shading, oracle, False, stop)
    train_shading(config, shading, oracle, True, QUIET)

    whole = load_scene(checkpoints(tmp_path / "shading")[-1]).cells[0].networks
    parts = load_scene(checkpoints(shading)[-1]).cells[0].networks
    assert whole.shading is not None and parts.shading is not None
    for network, other in ((whole.oracle, parts.oracle), (whole.shading, parts.shading)):
        for a, b in zip(network.parameters(), other.parameters(), strict=True):
            assert torch.equal(a, b)
