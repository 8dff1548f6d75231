"""The baseline's training: NeRF's two networks at once, from colors alone."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console
from torch.nn.functional import mse_loss

from donerf.config import Config
from donerf.model.nerf import NerfNetworks, render_nerf_rays
from donerf.precision import DTYPES, choose_precision
from donerf.scene_file import Metadata, Scene, SceneCell
from donerf.training.batches import load_banks
from donerf.training.oracle import describe
from donerf.training.run import Stopped, Trainer, open_run, resolve
from donerf.training.validation import nerf_quality


def train_nerf(config: Config, run_folder: Path, resume: bool, console: Console) -> Scene:
    """Train a NeRF of one scene and return it.

    Its rays begin at the cameras whatever the config says of ours: where the sphere around the
    cell ends means nothing to a network that is asked all along the ray.
    """
    config = resolve(config, run_folder, resume, config.nerf.width)
    settings, device = config.nerf_training, torch.device(config.device)
    precision = choose_precision(config.precision, device, config.nerf.width)
    scene_settings = config.scene
    own_rays = config.cell.model_copy(update={"rays": "camera"})
    bank, validation = load_banks(config.model_copy(update={"cell": own_rays}), device)
    cell = bank.cell

    torch.manual_seed(settings.seed)
    networks = NerfNetworks(config.nerf).to(device)
    trainer = Trainer(networks, settings, device)
    run = open_run(run_folder, config, trainer, resume, console)
    run.show(
        f"NeRF: {bank.views} views, {len(bank) / 1e6:.1f} M rays, "
        f"{sum(p.numel() for p in networks.parameters()):,} parameters, {device}, {precision}"
    )

    def scene() -> Scene:
        averaged = NerfNetworks(config.nerf)
        trainer.copy_averaged_into(averaged)
        metadata = Metadata(
            kind="nerf",
            name=scene_settings.name or scene_settings.folder.stem,
            license=scene_settings.license,
            credits=scene_settings.credits,
            provenance={"data": str(scene_settings.folder), "nerf": describe(run, precision)},
        )
        return Scene([SceneCell(cell, averaged)], metadata)

    try:
        for _ in run.steps():
            batch = bank.draw(settings.rays_per_step, trainer.generator, 0, 0)
            with torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32"):
                rendered = render_nerf_rays(batch.rays, cell, networks, trainer.generator)
            loss = mse_loss(rendered.coarse.color, batch.colors)
            loss = loss + mse_loss(rendered.fine.color, batch.colors)
            trainer.update(loss)
            run.report(loss, settings.rays_per_step)
            if run.is_due():
                current = scene()
                run.save(current)
                quality = nerf_quality(current.cells[0], validation, device)
                run.log({"validation_psnr": quality})
                run.show(f"step {trainer.step}: validation {quality:.2f} dB")
    except Stopped:
        run.save(scene())
        run.show(f"stopped at step {trainer.step}, saved in {run.folder}; go on with --resume")
        raise
    return scene()
