"""The trainings: batches that tell the truth, schedules, resuming, and a short real training."""

import math
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch.testing import assert_close

from donerf.assets import asset
from donerf.config import CellSettings, Config, ShadingTrainingSettings, TrainingSettings
from donerf.data.dataset import Dataset, load_dataset
from donerf.data.procedural import write_procedural_dataset
from donerf.geometry.depth import t_from_s
from donerf.geometry.rays import Rays
from donerf.model.oracle import DepthOracle
from donerf.model.pipeline import Networks
from donerf.model.shading import ShadingNetwork
from donerf.recipes import oracle_recipe, shading_recipe
from donerf.scene_file import SceneCell, load_scene
from donerf.training.batches import RayBank
from donerf.training.losses import answer_loss
from donerf.training.oracle import train_oracle
from donerf.training.run import Run, Trainer, checkpoints, resolve
from donerf.training.shading import describe_placement, train_shading
from donerf.training.validation import shading_quality

ROOT = Path(__file__).resolve().parent.parent
CPU = torch.device("cpu")
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "scene"
    write_procedural_dataset(folder, size=(48, 36), views=(12, 2, 2), seed=3)
    return folder


@pytest.fixture(scope="module")
def views(data: Path) -> Dataset:
    return load_dataset(data, "train", need_depth=True)


@pytest.fixture(scope="module")
def bank(views: Dataset) -> RayBank:
    return RayBank(views, views.info.view_cell(), CPU)


def config_for(data: Path, **training: object) -> Config:
    quick = {"steps": 6, "rays_per_step": 64, "checkpoint_every": 3, "warmup_steps": 0}
    small = {"width": 16, "layers": 3}
    return Config.model_validate(
        {
            "scene": {"folder": data},
            "oracle": small,
            "shading": small,
            "oracle_training": quick | training,
            "shading_training": quick | training,
            "device": "cpu",
            "precision": "fp32",
        }
    )


def test_batches_hold_the_pixels_of_their_views(views: Dataset, bank: RayBank):
    batch = bank.draw(500, torch.Generator().manual_seed(0), 0.0, 0.0)
    assert views.distances is not None

    for ray in (0, 7, 499):
        view, rest = divmod(int(batch.pixels[ray]), 48 * 36)
        row, column = divmod(rest, 48)
        own = views.cameras[view].pixel_ray(column, row)
        assert_close(batch.rays.directions[ray], own.directions[0], atol=1e-5, rtol=0)
        assert_close(batch.rays.origins[ray], own.origins[0])
        assert_close(batch.colors[ray] * 255, views.colors[view, row, column].float())
        distance = float(views.distances[view, row, column])
        if math.isinf(distance):
            assert batch.s[ray] == 1
        else:
            cell = bank.cell
            t = t_from_s(batch.s[ray], cell.unified_range, cell.log_scale)
            found = float(t + cell.exit_distance(own)[0])
            assert found == pytest.approx(distance, rel=2e-3)


def test_moved_rays_still_end_on_their_surface_point(bank: RayBank):
    generator = torch.Generator().manual_seed(0)
    batch = bank.draw(2000, generator, 0.5, 0.2)
    own = bank.batch_of(batch.pixels)
    cell = bank.cell

    def ends(rays, s):
        unified = cell.unify(rays)
        t = t_from_s(s, cell.unified_range, cell.log_scale)
        return unified.origins + t[:, None] * unified.directions

    moved = (batch.rays.origins - own.rays.origins).norm(dim=-1) > 0
    surface = moved & (own.s < 1)
    assert 0.1 < moved.float().mean() <= 0.5
    assert not moved[1000:].any()
    before, after = ends(own.rays, own.s)[surface], ends(batch.rays, batch.s)[surface]
    # s is stored in 16 bits and clamped to the range, so far points agree relatively.
    assert_close(after, before, atol=5e-3, rtol=5e-3)
    assert all(cell.contains(o.numpy(), 1e-4) for o in batch.rays.origins)
    assert_close(batch.rays.directions.norm(dim=-1), torch.ones(2000))
    assert (batch.s[own.s >= 1] == 1).all()


def test_moved_rays_are_not_blocked_where_another_view_can_tell(views: Dataset):
    """Trace moved rays in the analytic scene: hardly any may hit something nearer."""
    from donerf.data.procedural import solids, trace

    bank = RayBank(views, views.info.view_cell(), CPU)
    batch = bank.draw(4000, torch.Generator().manual_seed(0), 1.0, 0.2)
    moved = batch.s_moved != 0
    rays = batch.rays[moved]
    t = t_from_s(batch.s[moved], bank.cell.unified_range, bank.cell.log_scale)
    expected = t + bank.cell.exit_distance(rays)

    distances, _ = trace(solids(3), rays.origins.double().numpy(), rays.directions.double().numpy())
    true = torch.from_numpy(distances).float()

    blocked = (true < 0.95 * expected).float().mean()
    assert float(blocked) < 0.03


def test_the_nearest_camera_tells_what_is_hidden_from_a_new_place(views: Dataset):
    """Look at one camera's surface points from where another one stands; traced, for comparison."""
    from donerf.data.procedural import solids, trace

    bank = RayBank(views, views.info.view_cell(), CPU)
    own = bank.batch_of(torch.arange(12 * 36 * 48))
    own_view = own.pixels // (36 * 48)
    points = bank.cell.unify(own.rays).at(
        t_from_s(own.s, bank.cell.unified_range, bank.cell.log_scale)[:, None]
    )[:, 0]
    other = (own_view + 5) % 12
    to_point = points - bank.poses[other][:, :, 3]
    length = to_point.norm(dim=-1)
    rays = Rays(bank.poses[other][:, :, 3], to_point / length[:, None])

    looks = (rays.directions * -bank.poses[other][:, :, 2]).sum(-1) > 0.8
    assert (bank._nearest_view(rays)[looks] == other[looks]).all()

    is_surface = looks & (own.s < 1)
    traced, _ = trace(solids(3), rays.origins.double().numpy(), rays.directions.double().numpy())
    nearest = torch.from_numpy(traced).float()
    is_behind = bank._is_behind(points[:, None], other)[:, 0]
    blocked, free = nearest < 0.9 * length, nearest > 0.99 * length
    # Its picture is lower than wide, and what it did not see it cannot tell; and slanted surfaces
    # hide themselves behind the edges of its large pixels, which costs a moved ray and no more.
    assert is_behind[is_surface & blocked].float().mean() > 0.7
    assert is_behind[is_surface & free].float().mean() < 0.15


def test_a_neighborhood_has_the_pixel_in_its_middle_and_repeats_borders(bank: RayBank):
    batch = bank.batch_of(torch.tensor([0, 48 * 36 * 3 + 48 * 5 + 7]))

    depths = bank.neighborhood(batch, 5)

    assert_close(depths[:, 12], batch.s)
    corner = depths[0].view(5, 5)
    assert (corner[:3, :3] == corner[2, 2]).all()
    pixel = int(batch.pixels[1])
    assert depths[1].view(5, 5)[1, 4] == bank.depth_of(torch.tensor(pixel - 48 + 2))


def test_the_learning_rate_warms_up_and_comes_down():
    settings = TrainingSettings(steps=100, warmup_steps=10)
    trainer = Trainer(DepthOracle(config_for(Path()).oracle), settings, CPU)
    rates = [trainer.learning_rate(step) for step in range(100)]

    assert rates[0] == pytest.approx(settings.learning_rate / 10)
    assert max(rates) == pytest.approx(settings.learning_rate)
    assert rates[-1] == pytest.approx(settings.final_learning_rate, rel=0.5)
    assert all(a >= b for a, b in pairwise(rates[10:]))


def test_time_goes_on_where_it_stopped_and_a_pause_costs_no_core_seconds(
    tmp_path: Path, data: Path
):
    config = config_for(data)
    settings = config.oracle_training
    trainer = Trainer(DepthOracle(config.oracle), settings, CPU)
    trainer.cpu_seconds = trainer.seconds = 100.0
    for step in Run(tmp_path, trainer, QUIET).steps():
        time.sleep(0.05)
        trainer.step = step + 1

    assert trainer.seconds > 100 + 0.05 * settings.steps
    assert 100 <= trainer.cpu_seconds < 100 + 0.05 * settings.steps

    resumed = Trainer(DepthOracle(config.oracle), settings, CPU)
    state = trainer.state()
    resumed.load_state(state)
    assert resumed.cpu_seconds == trainer.cpu_seconds
    del state["cpu_seconds"]  # As states were before they were counted.
    resumed.load_state(state)
    assert resumed.cpu_seconds == 0


def weights(file: Path) -> list[torch.Tensor]:
    networks = load_scene(file).cells[0].networks
    return list((networks.shading or networks.oracle).parameters())


def test_a_resumed_training_is_bit_for_bit_the_uninterrupted_one(tmp_path: Path, data: Path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    config = config_for(data)
    train_oracle(config, whole, resume=False, console=QUIET)

    calls = []

    class StopAfterFour(Console):
        """Interrupts when the first checkpoint has been reported, as Ctrl-C would."""

        def print(self, *objects, **options):
            if objects and "validation loss" in str(objects[0]):
                calls.append(objects[0])
                if len(calls) == 1:
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_oracle(config, parts, resume=False, console=StopAfterFour(quiet=True))
    assert checkpoints(parts)[-1].stem == "000003"
    train_oracle(config, parts, resume=True, console=QUIET)

    for a, b in zip(weights(checkpoints(whole)[-1]), weights(checkpoints(parts)[-1]), strict=True):
        assert torch.equal(a, b)


def test_ctrl_c_in_the_middle_of_a_step_waits_for_its_end(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    config = config_for(data)
    train_oracle(config, whole, resume=False, console=QUIET)
    calls = []

    def loss_with_ctrl_c(*given: Any) -> torch.Tensor:
        calls.append(None)
        if len(calls) == 5:
            signal.raise_signal(signal.SIGINT)
        return answer_loss(*given)

    monkeypatch.setattr("donerf.training.oracle.answer_loss", loss_with_ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        train_oracle(config, parts, resume=False, console=QUIET)
    assert checkpoints(parts)[-1].stem == "000005"
    train_oracle(config, parts, resume=True, console=QUIET)

    for a, b in zip(weights(checkpoints(whole)[-1]), weights(checkpoints(parts)[-1]), strict=True):
        assert torch.equal(a, b)


def test_a_run_that_died_before_its_first_checkpoint_can_be_resumed(tmp_path: Path, data: Path):
    class Dies(Console):
        def print(self, *objects, **options):
            raise RuntimeError("the machine went off")

    config = config_for(data)
    with pytest.raises(RuntimeError):
        train_oracle(config, tmp_path / "run", resume=False, console=Dies(quiet=True))

    train_oracle(config, tmp_path / "run", resume=True, console=QUIET)

    assert checkpoints(tmp_path / "run")[-1].stem == "000006"


def test_a_resumed_run_keeps_its_precision(tmp_path: Path, data: Path):
    config = config_for(data).model_copy(update={"precision": "bf16"})
    train_oracle(config, tmp_path / "run", resume=False, console=QUIET)

    asked = config.model_copy(update={"precision": "auto", "device": "auto"})

    assert resolve(asked, tmp_path / "run", True, 16).precision == "bf16"
    assert resolve(asked, tmp_path / "run", True, 16).device == "cpu"


def test_an_oracle_of_another_scene_is_refused(tmp_path: Path, data: Path):
    config = config_for(data)
    train_oracle(config, tmp_path / "oracle", resume=False, console=QUIET)
    other = config.model_copy(update={"cell": CellSettings(log_scale=0.5)})

    with pytest.raises(ValueError, match="another view cell"):
        train_shading(other, tmp_path / "s", tmp_path / "oracle", resume=False, console=QUIET)


def test_without_test_views_the_scene_file_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "scene"
    write_procedural_dataset(folder, size=(24, 16), views=(3, 1, 1), seed=3)
    (folder / "transforms_test.json").unlink()
    config = write_config(tmp_path, folder, steps=2)
    monkeypatch.chdir(tmp_path)

    oracle_recipe([str(config)], "", "train_oracle.py")
    shading_recipe([str(config)], "", "train_shader.py")

    assert load_scene(tmp_path / "runs" / "tiny" / "tiny.donerf").metadata.quality == {}


def test_both_trainings_write_a_scene_that_renders(tmp_path: Path, data: Path):
    config = config_for(data)
    train_oracle(config, tmp_path / "oracle", resume=False, console=QUIET)
    scene = train_shading(
        config, tmp_path / "shading", tmp_path / "oracle", resume=False, console=QUIET
    )

    networks = scene.cells[0].networks
    oracle = load_scene(checkpoints(tmp_path / "oracle")[-1]).cells[0].networks.oracle
    assert networks.shading is not None
    for a, b in zip(oracle.parameters(), networks.oracle.parameters(), strict=True):
        assert torch.equal(a, b)
    assert {"config.toml", "log.jsonl", "state.safetensors"} <= {
        path.name for path in (tmp_path / "shading").iterdir()
    }
    assert scene.metadata.provenance["shading"]["steps"] == 6


def test_a_sample_count_that_is_trained_more_often_is_measured_once(data: Path, bank: RayBank):
    config = config_for(data)
    networks = Networks(DepthOracle(config.oracle), ShadingNetwork(config.shading))
    cell = SceneCell(bank.cell, networks)

    assert shading_quality(cell, bank, (1, 2, 2), CPU) == shading_quality(cell, bank, (1, 2), CPU)


def test_a_run_folder_is_never_used_twice(tmp_path: Path, data: Path):
    config = config_for(data)
    train_oracle(config, tmp_path / "run", resume=False, console=QUIET)

    with pytest.raises(ValueError, match="--resume"):
        train_oracle(config, tmp_path / "run", resume=False, console=QUIET)
    with pytest.raises(ValueError, match="'oracle_training.seed' was 0, is 5"):
        train_oracle(config_for(data, seed=5), tmp_path / "run", resume=True, console=QUIET)
    with pytest.raises(FileNotFoundError, match="nothing to resume"):
        train_oracle(config, tmp_path / "other", resume=True, console=QUIET)
    with pytest.raises(FileNotFoundError, match="donerf train oracle"):
        train_shading(config, tmp_path / "s", tmp_path / "none", resume=False, console=QUIET)


def test_a_cut_off_state_is_named(tmp_path: Path, data: Path):
    config = config_for(data)
    train_oracle(config, tmp_path / "run", resume=False, console=QUIET)
    state = tmp_path / "run" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:1000])

    with pytest.raises(ValueError, match="cannot be read"):
        train_oracle(config, tmp_path / "run", resume=True, console=QUIET)


def write_config(folder: Path, data: Path, steps: int) -> Path:
    file = folder / "tiny.toml"
    file.write_text(
        f'device = "cpu"\nprecision = "fp32"\n[scene]\nfolder = "{data}"\n'
        "[oracle]\nwidth = 16\nlayers = 3\n[shading]\nwidth = 16\nlayers = 3\n"
        f"[oracle_training]\nsteps = {steps}\nrays_per_step = 64\ncheckpoint_every = 20\n"
        f"[shading_training]\nsteps = {steps}\nrays_per_step = 64\ncheckpoint_every = 20\n"
    )
    return file


def start(script: str, *arguments: object, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / script), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def test_a_killed_training_goes_on_from_its_last_checkpoint(tmp_path: Path, data: Path):
    config = write_config(tmp_path, data, steps=100_000)
    process = start("train_oracle.py", config, cwd=tmp_path)
    run = tmp_path / "runs" / "tiny" / "oracle"
    deadline = time.monotonic() + 60
    while len(checkpoints(run)) < 1 and time.monotonic() < deadline:
        assert process.poll() is None, process.stdout and process.stdout.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()

    again = start("train_oracle.py", config, "--resume", cwd=tmp_path)
    before = checkpoints(run)[-1].stem
    while checkpoints(run)[-1].stem <= before and time.monotonic() < deadline:
        assert again.poll() is None, again.stdout and again.stdout.read()
        time.sleep(0.05)
    again.send_signal(signal.SIGINT)
    output, _ = again.communicate(timeout=60)

    assert again.returncode == 130
    assert "saved in" in output
    assert not list(run.glob(".*tmp*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "starts with its config file"),
        (["none.toml"], "no config file none.toml"),
        (["tiny.toml", "--oracle.layers", "0"], "layers"),
        (["tiny.toml", "--scene.folder", "nowhere"], "nowhere"),
    ],
)
def test_a_wrong_command_line_ends_with_one_sentence(
    tmp_path: Path, data: Path, arguments: list[str], message: str
):
    write_config(tmp_path, data, steps=1)

    process = start("train_oracle.py", *arguments, cwd=tmp_path)
    output, _ = process.communicate(timeout=60)

    assert process.returncode == 2
    assert message in output
    assert "Traceback" not in output


def test_an_oracle_that_is_not_done_is_named():
    """Training the other network under it is allowed, and seldom what is meant."""
    scene = load_scene(asset("assets/courtyard.donerf"))
    settings, oracle = ShadingTrainingSettings(), scene.metadata.provenance["oracle"]

    assert describe_placement(settings, scene) == "under an oracle of 16000 steps"
    oracle["steps"] = 300
    assert "not done: 16000 were asked for" in describe_placement(settings, scene)
