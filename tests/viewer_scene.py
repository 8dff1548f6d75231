"""A small scene for the viewer's tests: a wide low cell and networks that were never trained."""

import math
from pathlib import Path

from donerf.config import NerfSettings, OracleSettings, ShadingSettings
from donerf.data.dataset import read_info
from donerf.data.procedural import write_procedural_dataset
from donerf.geometry.view_cell import ViewCell
from donerf.model.nerf import NerfNetworks
from donerf.model.oracle import DepthOracle
from donerf.model.pipeline import Networks
from donerf.model.shading import ShadingNetwork
from donerf.scene_file import Metadata, Scene, SceneCell, save_scene

DATA_SIZE = (24, 18)
# Base direction: along +y, a little down.
_DOWN = math.radians(-10)
CELL = ViewCell(
    center=(-1.0, 2.0, 1.5),
    size=(2.0, 4.0, 0.5),
    radius=2.3,
    depth_range=(0.5, 20.0),
    unified_range=(-2.0, 19.0),
    base_orientation=(
        (1.0, 0.0, 0.0),
        (0.0, -math.sin(_DOWN), -math.cos(_DOWN)),
        (0.0, math.cos(_DOWN), -math.sin(_DOWN)),
    ),
    view_rotation_deg=(70.0, 24.0),
    fov_x=math.radians(70),
)


def make_scene(cell: ViewCell = CELL, gains: tuple[float, float] = (1.0, 1.0)) -> Scene:
    """Networks as the seed draws them: their pictures are colorful noise, the same each time.

    gains:  of the weights of oracle and shading; far from 1 they are less undecided
    """
    networks = Networks(
        DepthOracle(OracleSettings(layers=2, width=16, bins=16)),
        ShadingNetwork(ShadingSettings(layers=3, width=16)),
    )
    for network, gain in zip((networks.oracle, networks.shading), gains, strict=True):
        for parameter in network.parameters() if network is not None else ():
            parameter.data.mul_(gain)
    return Scene([SceneCell(cell, networks)], Metadata(name="noise"))


def make_nerf(cell: ViewCell = CELL) -> Scene:
    """The baseline in the same place, as the seed draws it: 6 + (6 + 8) samples a ray."""
    settings = NerfSettings(layers=3, width=16, coarse_samples=6, fine_samples=8)
    return Scene([SceneCell(cell, NerfNetworks(settings))], Metadata(kind="nerf", name="peer"))


def write_oracle(folder: Path) -> Path:
    """A file as the oracle's training leaves it: there is no shading network yet."""
    path = folder / "oracle.donerf"
    oracle = DepthOracle(OracleSettings(layers=2, width=16, bins=16))
    save_scene(Scene([SceneCell(CELL, Networks(oracle))], Metadata(name="oracle")), path)
    return path


def write_scene(folder: Path, cell: ViewCell = CELL) -> Path:
    """The scene as a file."""
    path = folder / "noise.donerf"
    save_scene(make_scene(cell), path)
    return path


def write_data(folder: Path, views: tuple[int, int, int] = (4, 1, 3)) -> tuple[Path, Path]:
    """A small data set, and a scene with its view cell: (folder of the data set, scene file)."""
    data = folder / "data"
    write_procedural_dataset(data, DATA_SIZE, views)
    return data, write_scene(folder, read_info(data).view_cell())
