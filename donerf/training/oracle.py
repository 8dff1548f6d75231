"""The oracle's training: classify each ray's depth, from true depth."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console

from donerf.config import Config
from donerf.model.oracle import DepthOracle
from donerf.model.pipeline import Networks
from donerf.model.version import code_version
from donerf.precision import DTYPES, choose_precision
from donerf.scene_file import Metadata, Scene, SceneCell
from donerf.training.batches import load_banks
from donerf.training.losses import answer_loss
from donerf.training.run import Run, Stopped, Trainer, open_run, resolve
from donerf.training.validation import oracle_quality


def train_oracle(config: Config, run_folder: Path, resume: bool, console: Console) -> Scene:
    """Train the depth oracle of one scene and return it as a scene without shading."""
    config = resolve(config, run_folder, resume, config.oracle.width)
    settings, device = config.oracle_training, torch.device(config.device)
    precision = choose_precision(config.precision, device, config.oracle.width)
    scene_settings = config.scene
    bank, validation = load_banks(config, device, need_depth=True)
    cell = bank.cell

    torch.manual_seed(settings.seed)
    oracle = DepthOracle(config.oracle).to(device)
    errors = bank.error_map(settings.hard_rays)
    trainer = Trainer(oracle, settings, device, errors)
    run = open_run(run_folder, config, trainer, resume, console)
    run.show(
        f"oracle: {bank.views} views, {len(bank) / 1e6:.1f} M rays, "
        f"{sum(p.numel() for p in oracle.parameters()):,} parameters, {device}, {precision}"
    )

    def scene() -> Scene:
        averaged = DepthOracle(config.oracle)
        trainer.copy_averaged_into(averaged)
        provenance = {"data": str(scene_settings.folder), "oracle": describe(run, precision)}
        metadata = Metadata(
            name=scene_settings.name or scene_settings.folder.stem,
            license=scene_settings.license,
            credits=scene_settings.credits,
            provenance=provenance,
        )
        return Scene([SceneCell(cell, Networks(averaged))], metadata)

    try:
        for _ in run.steps():
            batch = bank.draw(
                settings.rays_per_step,
                trainer.generator,
                settings.moved_share,
                settings.moved_distance,
                errors,
            )
            with torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32"):
                logits = oracle(cell.unify(batch.rays), cell)
            ray_losses = answer_loss(logits, batch, bank, config.oracle, config.targets)
            if errors is not None:
                errors.note(batch.pixels, ray_losses)
            loss = ray_losses.mean()
            trainer.update(loss)
            run.report(loss, settings.rays_per_step)
            if run.is_due():
                current = scene()
                run.save(current)
                quality = oracle_quality(current.cells[0], validation, config.targets, device)
                run.log({"validation": quality})
                run.show(
                    f"step {trainer.step}: validation loss {quality['loss']:.4f}, a sample "
                    f"within 2 bins of the surface for {quality['hit']:.1%} of the rays"
                )
    except Stopped:
        run.save(scene())
        run.show(f"stopped at step {trainer.step}, saved in {run.folder}; go on with --resume")
        raise
    return scene()


def describe(run: Run, precision: str) -> dict[str, object]:
    """How far a network was trained, on what, for how long."""
    trainer = run.trainer
    return {
        "steps": trainer.step,
        "rays": trainer.rays,
        "seconds": round(trainer.seconds, 1),
        "cpu_seconds": round(trainer.cpu_seconds, 1),
        "device": trainer.generator.device.type,
        "precision": precision,
        "code": code_version(),
        "settings": trainer.settings.model_dump(mode="json"),
    }
