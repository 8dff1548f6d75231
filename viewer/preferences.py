"""What a user has set and wants to find again: a small JSON file in the platform's config folder.

A field's description is its tooltip in the panel, its bounds are those of its slider.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from platformdirs import user_config_path
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from donerf.files import write_text
from viewer.arguments import FILM_SIZE, FPS, MAX_EDGE, MAX_FPS

GroupName = Literal["performance", "viewing", "sampling", "flying", "saving", "panel"]
FilmKind = Literal[".mp4", ".gif", ""]
Channel = Annotated[float, Field(ge=0.0, le=1.0)]
Edge = Annotated[int, Field(ge=1, le=MAX_EDGE)]


class _Group(BaseModel):
    # A key of a newer version is no reason to forget the others.
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Performance(_Group):
    """How fast, and what is given up for it."""

    budget_ms: float | None = Field(
        default=None,
        ge=2,
        le=2000,
        description="Milliseconds that one moving picture may take; the resolution follows it.",
    )
    chooses_samples: bool = Field(
        default=False,
        description="Choose the samples for the budget, too: those that were measured to look best "
        "in the time.",
    )
    locked_rung: int | None = Field(
        default=None,
        ge=0,
        le=7,
        description="Keep moving pictures at this size, whatever they take.",
    )
    has_vsync: bool = Field(
        default=True, description="Show pictures only when the screen is ready: no tearing."
    )
    refines: bool = Field(
        default=True,
        description="Refine the picture when nothing moves: full size, more samples, smooth edges.",
    )


class Viewing(_Group):
    """What is shown over the picture, and how bright it is."""

    exposure_ev: float = Field(
        default=0.0, ge=-4, le=4, description="Stops; each one doubles the light."
    )
    near: float | None = Field(
        default=None, gt=0, description="The distance that is shown brightest."
    )
    far: float | None = Field(default=None, gt=0, description="The distance that is shown darkest.")
    background: tuple[Channel, Channel, Channel] = Field(
        default=(0.0, 0.0, 0.0), description="Color around a picture that does not fill the window."
    )
    has_hud: bool = Field(
        default=True, description="Frame rate, milliseconds and what is rendered."
    )
    has_map: bool = Field(
        default=True,
        description="The view cell from above, with the camera and the training views.",
    )
    has_box: bool = Field(default=False, description="The edges of the view cell.")
    has_cone: bool = Field(
        default=False, description="The limits of the trained directions, around the way ahead."
    )


class Sampling(_Group):
    """How many samples a ray gets."""

    samples: int = Field(default=4, ge=1, le=256, description="Samples per ray while moving.")
    adaptive: bool = Field(
        default=False,
        description="Fewer samples where the oracle is sure, more where it is not; mode 5 shows "
        "how many each ray gets.",
    )
    settled_samples: int | None = Field(
        default=None, ge=1, le=256, description="Samples per ray of a picture at rest."
    )
    passes: int = Field(
        default=8,
        ge=1,
        le=32,
        description="Pictures at rest that are averaged, with rays moved within their pixels: "
        "smooth edges. 1 is none.",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto",
        description="Of the matrix products; auto was measured to be the faster one.",
    )


class Flying(_Group):
    """How the camera answers."""

    speed_factor: float = Field(
        default=1.0,
        ge=0.01,
        le=100,
        description="Of the usual speed, which crosses the view cell in 4 seconds.",
    )
    look_factor: float = Field(
        default=1.0, ge=0.1, le=5, description="How far the view turns when the mouse moves."
    )


class Saving(_Group):
    """What films and pictures are like; None is the window's own size."""

    film_size: tuple[Edge, Edge] = FILM_SIZE
    film_kind: FilmKind = ".mp4"
    film_fps: int = Field(default=FPS, ge=1, le=MAX_FPS)
    film_passes: int = Field(default=1, ge=1, le=32)
    picture_size: tuple[Edge, Edge] | None = None
    wants_depth: bool = False


class PanelState(_Group):
    """What of the panel was open."""

    is_open: bool = True
    open_groups: tuple[str, ...] = ("Performance", "View and modes", "Sampling")


class Preferences(_Group):
    """All that is remembered, by the panel's groups."""

    performance: Performance = Performance()
    viewing: Viewing = Viewing()
    sampling: Sampling = Sampling()
    flying: Flying = Flying()
    saving: Saving = Saving()
    panel: PanelState = PanelState()

    def changed(self, group: GroupName, **values: Any) -> Preferences:
        """With some fields of a group set."""
        part = getattr(self, group).model_copy(update=values)
        return self.model_copy(update={group: part})

    def reset(self, group: GroupName) -> Preferences:
        """With a group as it is out of the box."""
        return self.model_copy(update={group: type(getattr(self, group))()})


def preferences_path() -> Path:
    """Where they lie: ~/.config/donerf-viewer/preferences.json on Linux."""
    return user_config_path("donerf-viewer", appauthor=False) / "preferences.json"


def load_preferences(path: Path) -> tuple[Preferences, str]:
    """Read them; with a note, empty when all is well, where a file could not be used.

    Never fails: nobody should have to mend a file to fly.
    """
    try:
        return Preferences.model_validate_json(path.read_bytes()), ""
    except FileNotFoundError:
        return Preferences(), ""
    except ValidationError as error:
        fault = error.errors()[0]
        name = ".".join(str(part) for part in fault["loc"]) or "it"
        return Preferences(), f"your settings in {path} were not used: {name}: {fault['msg']}"
    except OSError as error:
        return Preferences(), f"your settings in {path} were not used: {error.strerror or error}"


def save_changes(path: Path, before: Preferences, after: Preferences) -> None:
    """Write what was changed between the two over what the file holds.

    So an option of one command line is not remembered, and two windows keep each other's changes.
    """
    changes = {
        group: {
            name: value
            for name, value in fields.items()
            if value != before.model_dump()[group][name]
        }
        for group, fields in after.model_dump().items()
    }
    if not any(changes.values()):
        return
    document = load_preferences(path)[0].model_dump()
    for group, fields in changes.items():
        document[group].update(fields)
    write_text(path, json.dumps(document, indent=1) + "\n")
