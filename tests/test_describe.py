import pytest

from donerf.config import OracleSettings, ShadingSettings
from donerf.describe import describe
from donerf.geometry.view_cell import ViewCell
from donerf.model.oracle import DepthOracle
from donerf.model.pipeline import Networks
from donerf.model.shading import ShadingNetwork
from donerf.scene_file import Metadata, Scene, SceneCell

CELL = ViewCell((0, 0, 1), (2, 4, 1), 3.0, depth_range=(0.5, 20.0), unified_range=(-2.0, 21.0))


@pytest.fixture
def networks() -> Networks:
    return Networks(
        DepthOracle(OracleSettings(layers=2, width=8, bins=16)),
        ShadingNetwork(ShadingSettings(layers=3, width=8)),
    )


def test_a_scene_is_described_by_its_networks_cell_and_history(networks: Networks):
    metadata = Metadata(name="court", credits="somebody", provenance={"oracle": {"steps": 12000}})
    metadata = metadata.model_copy(update={"quality": {"psnr": {"4": 30.5}}})

    lines = dict(describe(Scene([SceneCell(CELL, networks)], metadata)))

    assert lines["scene"] == "court"
    assert lines["credits"] == "somebody"
    assert lines["size"] == "2, 4, 1"
    assert lines["oracle"].startswith("2 x 8, 16 bins, ")
    assert lines["trained: oracle steps"] == "12000"
    names = list(lines)
    assert names.index("quality: psnr 4") < names.index("trained: oracle steps")


def test_what_a_file_does_not_say_is_left_out(networks: Networks):
    lines = dict(describe(Scene([SceneCell(CELL, networks)])))

    assert not lines.keys() & {"license", "credits", "file", "test poses"}


def test_a_scene_without_shading_says_so(networks: Networks):
    lines = dict(describe(Scene([SceneCell(CELL, Networks(networks.oracle))])))

    assert lines["shading"].startswith("not trained yet")


def test_with_several_cells_each_line_names_its_cell(networks: Networks):
    lines = dict(describe(Scene([SceneCell(CELL, networks)] * 2)))

    assert "cell 1: oracle" in lines
