"""Both networks learn on together: the colors say where samples had better gone.

The oracle was taught true depth, which is not quite what the shading network needs of it: a
surface's two sides, or a place between two surfaces that looks like neither. Here the error in
color moves the samples too, and through them the oracle; its own loss keeps it near the truth.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console

from donerf.config import Config
from donerf.model.pipeline import probs_from_logits, render_rays
from donerf.model.placement import jittered_quantiles
from donerf.precision import DTYPES, choose_precision
from donerf.scene_file import Scene, SceneCell
from donerf.training.batches import load_banks
from donerf.training.losses import answer_loss, shading_loss
from donerf.training.oracle import describe
from donerf.training.run import (
    BothNetworks,
    Stopped,
    Trainer,
    checkpoints,
    newest_checkpoint,
    open_run,
    resolve,
)
from donerf.training.shading import draw_sample_count, rays_of_step, save_and_look


def train_joint(
    config: Config, run_folder: Path, shading_run: Path, resume: bool, console: Console
) -> Scene:
    """Go on with the oracle and the shading network of a run, and return the scene."""
    _refuse_grid(config.shading.encoding == "hash-grid")
    config = resolve(config, run_folder, resume, config.shading.width)
    settings, device = config.joint_training, torch.device(config.device)
    precision = choose_precision(config.precision, device, config.shading.width)
    # A resumed run needs only the shape and the cell of what it was begun with.
    has_own = resume and checkpoints(run_folder)
    begun = newest_checkpoint(run_folder if has_own else shading_run, "shader")
    cell, separate = begun.cells[0].cell, begun.cells[0].networks
    if separate.shading is None:
        raise ValueError(
            f"the run in {shading_run} has an oracle alone, and both networks are needed; run "
            "`donerf train shader` with the same config first, or name its run with --shading-run"
        )
    _refuse_grid(separate.shading.grid is not None)
    bank, validation = load_banks(config, device)
    if cell != bank.cell:
        raise ValueError(
            f"the networks in {shading_run} were trained in another view cell, depth range or "
            f"log scale than {config.scene.folder} has; train them for this data first"
        )

    oracle, shading = copy.deepcopy(separate.oracle), copy.deepcopy(separate.shading)
    both = BothNetworks(oracle, shading).requires_grad_().to(device)
    both.oracle.requires_grad_(settings.oracle_rate > 0)
    networks = replace(separate, oracle=both.oracle, shading=both.shading)
    errors = bank.error_map(settings.hard_rays)
    trainer = Trainer(both, settings, device, errors)
    run = open_run(run_folder, config, trainer, resume, console)
    run.show(
        f"both networks: {bank.views} views, {len(bank) / 1e6:.1f} M rays, "
        f"{sum(p.numel() for p in both.parameters()):,} parameters, {device}, {precision}"
    )

    def scene() -> Scene:
        averaged = copy.deepcopy(both).cpu()
        trainer.copy_averaged_into(averaged)
        provenance = begun.metadata.provenance | {"joint": describe(run, precision)}
        metadata = begun.metadata.model_copy(update={"provenance": provenance})
        kept = replace(separate, oracle=averaged.oracle, shading=averaged.shading)
        return Scene([SceneCell(cell, kept)], metadata)

    try:
        for _ in run.steps():
            samples = draw_sample_count(settings.samples, trainer.generator)
            rays = rays_of_step(settings, samples)
            batch = bank.draw(
                rays, trainer.generator, settings.moved_share, settings.moved_distance, errors
            )
            combs = networks.combs_of(samples)
            u = jittered_quantiles(rays, samples, settings.jitter, trainer.generator, combs)
            with torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32"):
                logits = both.oracle(cell.unify(batch.rays), cell)
                bin_probs = probs_from_logits(logits, both.oracle.settings)
                rendered = render_rays(batch.rays, cell, networks, u, bin_probs)
            ray_losses = shading_loss(rendered, batch, settings.depth_weight)
            if errors is not None:
                errors.note(batch.pixels, ray_losses)
            own = answer_loss(logits, batch, bank, both.oracle.settings, config.targets)
            loss = (ray_losses + settings.oracle_weight * own).mean()
            trainer.update(loss)
            run.report(loss, rays)
            if run.is_due():
                save_and_look(run, scene(), validation)
    except Stopped:
        run.save(scene())
        run.show(f"stopped at step {trainer.step}, saved in {run.folder}; go on with --resume")
        raise
    return scene()


def _refuse_grid(has_grid: bool) -> None:
    if has_grid:
        raise ValueError(
            "a joint training moves the samples, which features of a hash grid cannot follow yet; "
            "train with shading.encoding = 'frequencies' for it"
        )
