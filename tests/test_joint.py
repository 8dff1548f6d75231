"""Joint training: colors move the samples, and through them the oracle."""

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from donerf.cli import run
from donerf.config import Config, OracleSettings, ShadingSettings
from donerf.data.dataset import load_dataset
from donerf.data.procedural import write_procedural_dataset
from donerf.geometry.rays import Rays
from donerf.model.encoding import encode
from donerf.model.oracle import DepthOracle
from donerf.model.pipeline import Networks, expect_depth, render_rays
from donerf.model.placement import place_samples, quantiles
from donerf.model.shading import ShadingNetwork
from donerf.renderer import RenderOptions, make_renderer
from donerf.scene_file import Scene, load_scene
from donerf.training.batches import RayBank
from donerf.training.joint import train_joint
from donerf.training.losses import shading_loss
from donerf.training.oracle import train_oracle
from donerf.training.run import checkpoints
from donerf.training.shading import train_shading
from donerf.training.validation import shading_quality

CPU = torch.device("cpu")
QUIET = Console(quiet=True)


def config_for(data: Path, **joint: object) -> Config:
    loop = {"rays_per_step": 256, "warmup_steps": 5, "checkpoint_every": 1000}
    return Config.model_validate(
        {
            "scene": {"folder": data},
            "oracle": {"width": 32, "layers": 3},
            "shading": {"width": 32, "layers": 3},
            "oracle_training": loop | {"steps": 100},
            "shading_training": loop | {"steps": 150},
            "joint_training": loop | {"steps": 60, "ema_decay": 0.9} | joint,
            "device": "cpu",
            "precision": "fp32",
        }
    )


@dataclass(frozen=True)
class Trained:
    """Data, and the run of the two separate trainings."""

    data: Path
    shading_run: Path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("joint")
    write_procedural_dataset(folder / "scene", size=(32, 24), views=(8, 2, 2), seed=3)
    config = config_for(folder / "scene")
    train_oracle(config, folder / "oracle", False, QUIET)
    train_shading(config, folder / "shading", folder / "oracle", False, QUIET)
    return Trained(folder / "scene", folder / "shading")


def tensors(scene: Scene) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    networks = scene.cells[0].networks
    assert networks.shading is not None
    return list(networks.oracle.parameters()), list(networks.shading.parameters())


def test_the_encodings_gradient_is_that_of_finite_differences():
    v = torch.randn(5, 3, dtype=torch.double, requires_grad=True)

    assert torch.autograd.gradcheck(lambda v: encode(v, 7, torch.double), (v,))


def test_samples_move_with_the_probabilities_as_finite_differences_say(trained: Trained):
    cell = load_dataset(trained.data, "val").info.view_cell()
    probs = (torch.rand(3, 8) + 0.1).requires_grad_()
    u = quantiles(3, 4, CPU)
    weights = torch.randn(3, 4)
    (place_samples(probs, u, cell).s * weights).sum().backward()
    assert probs.grad is not None

    step = 1e-3
    for ray, b in ((0, 0), (1, 3), (2, 7)):
        change = torch.zeros_like(probs)
        change[ray, b] = step
        up, down = (place_samples(probs.detach() + c, u, cell).s for c in (change, -change))
        slope = float(((up - down) * weights).sum() / (2 * step))
        assert slope == pytest.approx(float(probs.grad[ray, b]), abs=2e-3)


def test_a_bin_that_is_hardly_expected_does_not_make_its_samples_fly(trained: Trained):
    cell = load_dataset(trained.data, "val").info.view_cell()
    probs = torch.full((1, 8), 1e-4).requires_grad_()
    u = quantiles(1, 4, CPU)
    samples = place_samples(probs, u, cell)
    samples.s[0, 2].backward()
    assert probs.grad is not None

    assert 0 < float(probs.grad.abs().max()) <= 1 / (0.05 * 8)
    assert torch.equal(samples.s.detach(), place_samples(probs.detach(), u, cell).s)


def test_the_error_in_color_reaches_the_oracle(trained: Trained):
    """One weight of the oracle, moved a little, changes the error as its gradient says."""
    cell = load_dataset(trained.data, "val").info.view_cell()
    oracle = DepthOracle(OracleSettings(width=16, layers=3, bins=16))
    shading = ShadingNetwork(ShadingSettings(width=16, layers=3, position_frequencies=2))
    with torch.no_grad():  # Colors that change along the ray, well above rounding.
        for parameter in shading.parameters():
            parameter.mul_(3)
    networks = Networks(oracle, shading)
    rays = Rays(torch.zeros(6, 3), torch.nn.functional.normalize(torch.randn(6, 3), dim=-1))
    rays.origins.add_(torch.tensor(cell.center))
    u, colors = quantiles(6, 3, CPU), torch.rand(6, 3)

    def error() -> torch.Tensor:
        probs = expect_depth(cell.unify(rays), cell, oracle)
        color = render_rays(rays, cell, networks, u, probs).composite.color
        return (color - colors).square().sum()

    bias = oracle.output_layers()[0].bias
    error().backward()
    assert bias.grad is not None
    b, step = int(bias.grad.abs().argmax()), 1e-2
    with torch.no_grad():
        bias[b] += step
        up = error()
        bias[b] -= 2 * step
        down = error()
    slope = float((up - down) / (2 * step))
    assert slope == pytest.approx(float(bias.grad[b]), rel=0.05)
    assert abs(slope) > 1e-3


def test_the_oracle_that_the_pipeline_asks_itself_gets_no_gradient(trained: Trained):
    cell = load_dataset(trained.data, "val").info.view_cell()
    networks = Networks(DepthOracle(OracleSettings(width=16, layers=3)))
    rays = Rays(torch.tensor(cell.center).expand(2, 3), torch.eye(3)[:2])

    assert not render_rays(rays, cell, networks, quantiles(2, 2, CPU)).samples.t.requires_grad


def test_both_networks_learn_and_the_pictures_get_better(tmp_path: Path, trained: Trained):
    config = config_for(trained.data)
    scene = train_joint(config, tmp_path / "joint", trained.shading_run, False, QUIET)

    before = load_scene(checkpoints(trained.shading_run)[-1])
    for old, new in zip(tensors(before), tensors(scene), strict=True):
        assert not any(torch.equal(a, b) for a, b in zip(old, new, strict=True))
    cell = scene.cells[0].cell
    bank = RayBank(load_dataset(trained.data, "train"), cell, CPU)
    psnr = [shading_quality(s.cells[0], bank, (4,), CPU)["4"] for s in (before, scene)]
    assert psnr[1] > psnr[0] + 0.2
    assert scene.metadata.provenance["joint"]["steps"] == 60
    assert scene.metadata.provenance["shading"]["steps"] == 150


def test_at_rate_0_the_oracle_stays_as_it_is(tmp_path: Path, trained: Trained):
    config = config_for(trained.data, steps=3, oracle_rate=0.0)
    scene = train_joint(config, tmp_path / "joint", trained.shading_run, False, QUIET)

    before = load_scene(checkpoints(trained.shading_run)[-1])
    (oracle, shading), (old_oracle, old_shading) = tensors(scene), tensors(before)
    assert all(torch.equal(a, b) for a, b in zip(oracle, old_oracle, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(shading, old_shading, strict=True))


def test_it_stops_between_steps_and_resumes_bit_for_bit(
    tmp_path: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch
):
    config = config_for(trained.data, steps=6, hard_rays=0.5)
    whole = train_joint(config, tmp_path / "whole", trained.shading_run, False, QUIET)
    calls = []

    def loss_with_ctrl_c(*given: Any) -> torch.Tensor:
        calls.append(None)
        if len(calls) == 4:
            signal.raise_signal(signal.SIGINT)
        return shading_loss(*given)

    monkeypatch.setattr("donerf.training.joint.shading_loss", loss_with_ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        train_joint(config, tmp_path / "parts", trained.shading_run, False, QUIET)
    assert checkpoints(tmp_path / "parts")[-1].stem == "000004"
    # What it was begun with is not needed any more.
    parts = train_joint(config, tmp_path / "parts", tmp_path / "gone", True, QUIET)

    for one, other in zip(tensors(whole), tensors(parts), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_without_a_shading_network_one_sentence_says_what_to_do(tmp_path: Path, trained: Trained):
    config, oracle_run = config_for(trained.data), trained.shading_run.with_name("oracle")

    with pytest.raises(FileNotFoundError, match="donerf train shader.*--shading-run"):
        train_joint(config, tmp_path / "joint", tmp_path / "none", False, QUIET)
    with pytest.raises(ValueError, match="has an oracle alone"):
        train_joint(config, tmp_path / "joint", oracle_run, False, QUIET)


def test_the_command_writes_a_file_that_every_backend_renders_alike(
    tmp_path: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "tiny.toml"
    file.write_text(
        f'device = "cpu"\nprecision = "fp32"\n[scene]\nfolder = "{trained.data.as_posix()}"\n'
        "[oracle]\nwidth = 32\nlayers = 3\n[shading]\nwidth = 32\nlayers = 3\n"
        "[joint_training]\nsteps = 2\nrays_per_step = 64\n"
    )
    monkeypatch.chdir(tmp_path)
    run(["train", "joint", str(file), "--shading-run", str(trained.shading_run)])

    scene = load_scene(tmp_path / "runs" / "tiny" / "tiny_joint.donerf")
    assert checkpoints(tmp_path / "runs" / "tiny" / "joint")
    assert scene.metadata.quality["psnr"]
    camera = load_dataset(trained.data, "test").cameras[0]
    frames = [
        make_renderer(scene, "cpu", "fp32", backend).render(camera, RenderOptions(samples=4))
        for backend in ("cpu", "eager")
    ]
    compiled, plain = (frame.image.int() for frame in frames if frame is not None)
    assert float((compiled - plain).abs().float().mean()) < 0.5


def test_a_hash_grid_is_refused_before_anything_else_is_asked_for(tmp_path: Path):
    """Who trained the shading network first would learn it half an hour later."""
    config = Config(shading=ShadingSettings(encoding="hash-grid"))

    with pytest.raises(ValueError, match="cannot follow yet"):
        train_joint(config, tmp_path / "joint", tmp_path / "nothing", False, QUIET)
