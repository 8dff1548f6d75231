"""Views one by one are the same as all at once."""

import json
from pathlib import Path

import pytest
from numpy.testing import assert_array_equal

from donerf import ViewReader
from donerf.data.dataset import load_dataset
from donerf.data.procedural import write_procedural_dataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "scene"
    write_procedural_dataset(folder, (24, 18), (3, 1, 1))
    return folder


@pytest.mark.parametrize("states_size", [True, False])
def test_a_reader_gives_what_the_whole_data_set_holds(folder: Path, states_size: bool):
    if not states_size:
        path = folder / "dataset_info.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"resolution": None}))
    whole, reader = load_dataset(folder, "train"), ViewReader(folder, "train")

    assert reader.names == whole.names
    assert len(reader) == 3
    for index, camera in enumerate(whole.cameras):
        assert_array_equal(reader.cameras[index].world_from_camera, camera.world_from_camera)
        assert reader.cameras[index].intrinsics == camera.intrinsics
        assert_array_equal(reader.read(index).colors, whole.colors[index].numpy())


def test_pictures_are_read_when_they_are_asked_for(folder: Path):
    (folder / "train/00001.png").unlink()
    reader = ViewReader(folder, "train")

    assert reader.read(0).colors.shape == (18, 24, 3)
    with pytest.raises(FileNotFoundError, match="00001"):
        reader.read(1)


def test_a_split_that_is_not_there_is_named(folder: Path):
    with pytest.raises(FileNotFoundError, match=r"transforms_film\.json"):
        ViewReader(folder, "film")
