"""The shading network's training: color the few samples that the frozen oracle places."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console

from donerf.config import ColorTrainingSettings, Config, Placement, ShadingTrainingSettings
from donerf.model.pipeline import Networks, render_rays
from donerf.model.placement import jittered_quantiles
from donerf.model.shading import ShadingNetwork
from donerf.precision import DTYPES, choose_precision
from donerf.scene_file import Scene, SceneCell, load_scene
from donerf.training.batches import RayBank, load_banks
from donerf.training.losses import shading_loss
from donerf.training.oracle import describe
from donerf.training.run import (
    Run,
    Stopped,
    Trainer,
    checkpoints,
    newest_checkpoint,
    open_run,
    resolve,
)
from donerf.training.teacher import Teacher
from donerf.training.validation import shading_quality

VALIDATED_COUNTS = (1, 2, 4, 8, 16)
"""Samples per ray, whichever of them the network is trained with."""


def train_shading(
    config: Config, run_folder: Path, oracle_run: Path, resume: bool, console: Console
) -> Scene:
    """Train the shading network under a trained oracle and return the whole scene."""
    config = resolve(config, run_folder, resume, config.shading.width)
    settings, device = config.shading_training, torch.device(config.device)
    precision = choose_precision(config.precision, device, config.shading.width)
    # A resumed run stands on the oracle that it was begun with, whatever became of the other run.
    has_own = resume and checkpoints(run_folder)
    oracle_scene = newest_checkpoint(run_folder if has_own else oracle_run)
    cell, oracle = oracle_scene.cells[0].cell, oracle_scene.cells[0].networks.oracle
    bank, validation = load_banks(config, device)
    if cell != bank.cell:
        raise ValueError(
            f"the oracle in {oracle_run} was trained in another view cell, depth range or log "
            f"scale than {config.scene.folder} has; train one for this data, or name its run "
            "with --oracle-run"
        )

    teacher = None
    if settings.teacher is not None:
        teacher = Teacher(
            load_scene(settings.teacher), cell, settings.teacher_samples, device, precision
        )

    torch.manual_seed(settings.seed)
    shading = ShadingNetwork(config.shading).to(device)
    # The oracle is frozen, so its weights are cast once and not at every step.
    frozen = Networks(oracle).copied_to(device, DTYPES[precision]).oracle
    compositing = config.compositing
    networks = Networks(frozen, shading, compositing.rule, compositing.longest_comb)
    bins = frozen.settings.bins
    errors = bank.error_map(settings.hard_rays)
    trainer = Trainer(shading, settings, device, errors)
    run = open_run(run_folder, config, trainer, resume, console)
    run.show(
        f"shading: {bank.views} views, {len(bank) / 1e6:.1f} M rays, "
        f"{sum(p.numel() for p in shading.parameters()):,} parameters, {device}, {precision}, "
        + describe_placement(settings, oracle_scene)
    )

    def scene() -> Scene:
        averaged = ShadingNetwork(config.shading)
        trainer.copy_averaged_into(averaged)
        metadata = oracle_scene.metadata
        provenance = metadata.provenance | {"shading": describe(run, precision)}
        if teacher is not None:
            provenance["teacher"] = teacher.provenance
        metadata = metadata.model_copy(update={"provenance": provenance})
        networks = Networks(oracle, averaged, compositing.rule, compositing.longest_comb)
        return Scene([SceneCell(cell, networks)], metadata)

    try:
        for _ in run.steps():
            samples = draw_sample_count(settings.samples, trainer.generator)
            rays = rays_of_step(settings, samples)
            taught = int(rays * settings.teacher_share) if teacher is not None else 0
            batch = bank.draw(
                rays - taught,
                trainer.generator,
                settings.moved_share,
                settings.moved_distance,
                errors,
            )
            if teacher is not None:
                batch = batch.joined(teacher.draw(taught, bank, trainer.generator))
            combs = networks.combs_of(samples)
            u = jittered_quantiles(rays, samples, settings.jitter, trainer.generator, combs)
            with torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32"):
                given = batch.given_probs(settings.placement, bins)
                rendered = render_rays(batch.rays, cell, networks, u, given)
            ray_losses = shading_loss(rendered, batch, settings.depth_weight)
            if errors is not None:
                own = slice(rays - taught)  # A teacher's rays run through no pixel.
                errors.note(batch.pixels[own], ray_losses[own])
            loss = ray_losses.mean()
            trainer.update(loss)
            run.report(loss, rays)
            if run.is_due():
                save_and_look(run, scene(), validation, settings.placement)
    except Stopped:
        run.save(scene())
        run.show(f"stopped at step {trainer.step}, saved in {run.folder}; go on with --resume")
        raise
    return scene()


def save_and_look(
    run: Run, current: Scene, validation: RayBank, placement: Placement = "oracle"
) -> None:
    """Write a checkpoint, and log and show how good it is on the validation views."""
    run.save(current)
    quality = shading_quality(
        current.cells[0], validation, VALIDATED_COUNTS, validation.device, placement
    )
    run.log({"validation_psnr": quality})
    table = ", ".join(f"S={s} {psnr:.2f} dB" for s, psnr in quality.items())
    run.show(f"step {run.trainer.step}: validation {table}")


def describe_placement(settings: ShadingTrainingSettings, oracle_scene: Scene) -> str:
    """Where a training's samples come from."""
    if settings.placement == "oracle":
        oracle = oracle_scene.metadata.provenance["oracle"]
        steps, asked_for = oracle["steps"], oracle.get("settings", {}).get("steps", 0)
        unfinished = f", which is not done: {asked_for} were asked for"
        return f"under an oracle of {steps} steps{unfinished if steps < asked_for else ''}"
    return "samples evenly" if settings.placement == "uniform" else "samples at the true depth"


def rays_of_step(settings: ColorTrainingSettings, samples: int) -> int:
    """Rays in a step that draws so many samples a ray."""
    return min(settings.rays_per_step, max(settings.samples_per_step // samples, 1))


def draw_sample_count(counts: tuple[int, ...], generator: torch.Generator) -> int:
    """The samples per ray of one step, each count as likely as the others."""
    index = torch.randint(len(counts), (1,), generator=generator, device=generator.device)
    return counts[int(index)]
