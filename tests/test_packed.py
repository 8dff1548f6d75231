"""One file a scene: what comes out is what went in, and a damaged file says so."""

import json
import math
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from donerf.data import packed
from donerf.data.dataset import load_dataset, read_info
from donerf.data.packed import DepthCode, pack
from donerf.data.procedural import write_procedural_dataset

WIDTH, HEIGHT = 24, 18


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "scene"
    write_procedural_dataset(folder, (WIDTH, HEIGHT), (3, 1, 1))
    return folder


@pytest.fixture(scope="module")
def packed_once(folder: Path) -> Path:
    pack(folder, folder.parent / "scene.pack")
    return folder.parent / "scene.pack"


@pytest.fixture
def file(packed_once: Path, tmp_path: Path) -> Path:
    """A packed file that a test may damage."""
    return Path(shutil.copy(packed_once, tmp_path / "scene.pack"))


def rewrite(file: Path, name: str, data: bytes | None) -> None:
    """Replace one member of the archive, or leave it out."""
    with zipfile.ZipFile(file) as archive:
        members = {n: archive.read(n) for n in archive.namelist()}
    del members[name]
    if data is not None:
        members[name] = data
    with zipfile.ZipFile(file, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)


def edit_header(file: Path, **values: object) -> None:
    with zipfile.ZipFile(file) as archive:
        header = json.loads(archive.read("packed.json"))
    rewrite(file, "packed.json", json.dumps(header | values).encode())


@pytest.mark.parametrize("downscale", [1, 2])
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_packed_data_set_is_the_same_data_set(
    folder: Path, packed_once: Path, split: str, downscale: int
):
    ours = load_dataset(packed_once, split, downscale, need_depth=True)
    theirs = load_dataset(folder, split, downscale, need_depth=True)
    assert ours.distances is not None
    assert theirs.distances is not None

    assert ours.names == theirs.names
    assert torch.equal(ours.colors, theirs.colors)
    assert torch.equal(ours.distances.isinf(), theirs.distances.isinf())
    assert_allclose(ours.distances, theirs.distances, rtol=1e-4)
    assert ours.cell == theirs.cell
    for a, b in zip(ours.cameras, theirs.cameras, strict=True):
        assert a.intrinsics == b.intrinsics
        assert_array_equal(a.world_from_camera, b.world_from_camera)


def test_the_same_folder_gives_the_same_bytes(folder: Path, packed_once: Path, tmp_path: Path):
    pack(folder, tmp_path / "again.pack")

    assert (tmp_path / "again.pack").read_bytes() == packed_once.read_bytes()


def test_packing_tells_how_far_it_is(folder: Path, tmp_path: Path):
    said: list[tuple[int, int]] = []
    pack(folder, tmp_path / "scene.pack", lambda done, total: said.append((done, total)))

    assert said == [(done, 5) for done in range(1, 6)]


def test_views_without_depth_can_be_packed(folder: Path, tmp_path: Path):
    photos = shutil.copytree(folder, tmp_path / "photos")
    for path in photos.glob("*/*_depth.npz"):
        path.unlink()
    pack(photos, tmp_path / "photos.pack")

    assert load_dataset(tmp_path / "photos.pack", "train").distances is None


def test_rows_stored_bottom_up_are_packed_the_right_way(folder: Path, tmp_path: Path):
    flipped = shutil.copytree(folder, tmp_path / "flipped")
    info = json.loads((flipped / "dataset_info.json").read_text()) | {"flip_depth": True}
    (flipped / "dataset_info.json").write_text(json.dumps(info))
    pack(flipped, tmp_path / "flipped.pack")
    ours, theirs = (load_dataset(path, "train") for path in (tmp_path / "flipped.pack", flipped))

    assert ours.distances is not None
    assert theirs.distances is not None
    assert_allclose(ours.distances, theirs.distances, rtol=1e-4)


@pytest.mark.parametrize("farthest", [1.0, 60.0, 1e5])
def test_depth_is_coded_to_one_part_in_ten_thousand(farthest: float, rng: np.random.Generator):
    depth = np.exp(rng.uniform(0, math.log(farthest), (50, 40))).astype(np.float32)
    depth[0, 0], depth[-1, -1], depth[3, 4] = 1.0, farthest, math.inf
    code = DepthCode.spanning(1.0, farthest)

    assert_allclose(code.decode(code.encode(depth)), depth, rtol=1e-4)


def test_an_extreme_range_is_coded_as_well_as_16_bits_can():
    code = DepthCode.spanning(1e-3, 1e8)
    depth = np.array([1e-3, 1.0, 1e8], np.float32)

    assert_allclose(code.decode(code.encode(depth)), depth, rtol=2e-4)


def test_a_file_that_is_no_archive_is_an_error(file: Path):
    file.write_text("hello")

    with pytest.raises(ValueError, match="must be a folder or a file written by .*--pack"):
        load_dataset(file, "train")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_file_that_is_cut_short_is_an_error(file: Path, share: float):
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])

    with pytest.raises(ValueError, match="scene.pack is neither, or was cut short"):
        load_dataset(file, "train")


@pytest.mark.parametrize("member", ["train/00001.webp", "train/00001_depth.png"])
def test_an_altered_byte_is_noticed(file: Path, member: str):
    with zipfile.ZipFile(file) as archive:
        start = archive.getinfo(member).header_offset
    data = bytearray(file.read_bytes())
    data[start + 30 + len(member) + 40] ^= 0xFF
    file.write_bytes(data)

    with pytest.raises(ValueError, match=f"damaged in {member}"):
        load_dataset(file, "train")


def test_a_missing_picture_is_an_error(file: Path):
    rewrite(file, "train/00001.webp", None)

    with pytest.raises(ValueError, match="damaged in train/00001.webp"):
        load_dataset(file, "train")


def test_a_missing_depth_is_an_error(file: Path):
    rewrite(file, "train/00001_depth.png", None)

    with pytest.raises(ValueError, match="1 of 3 have none .* 'train/00001'"):
        load_dataset(file, "train")


def test_depth_of_another_size_is_an_error(file: Path, tmp_path: Path):
    write_procedural_dataset(tmp_path / "other", (8, 6), (1, 0, 0))
    pack(tmp_path / "other", tmp_path / "other.pack")
    with zipfile.ZipFile(tmp_path / "other.pack") as archive:
        small = archive.read("train/00000_depth.png")
    rewrite(file, "train/00000_depth.png", small)

    with pytest.raises(ValueError, match="24x18, got 8x6 for 'train/00000'"):
        load_dataset(file, "train")


def test_another_zip_archive_is_an_error(file: Path):
    rewrite(file, "packed.json", None)

    with pytest.raises(ValueError, match="must hold packed.json, .* does not; pack the folder"):
        load_dataset(file, "train")


def test_a_newer_format_is_an_error(file: Path):
    edit_header(file, format=2)

    with pytest.raises(ValueError, match="the format 1, got 2 in .*; a newer version"):
        read_info(file)


@pytest.mark.parametrize("step", [0, -1, "fine", None, math.nan])
def test_an_impossible_step_is_an_error(file: Path, step: object):
    edit_header(file, step=step)

    with pytest.raises(ValueError, match="a positive 'nearest' and 'step'"):
        read_info(file)


def test_a_full_disk_keeps_the_old_file(folder: Path, file: Path, monkeypatch):
    before = file.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packed, "_write_member", fail)
    with pytest.raises(OSError, match="No space left"):
        pack(folder, file)

    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_damaged_folder_keeps_the_old_file(folder: Path, file: Path, tmp_path: Path):
    before = file.read_bytes()
    damaged = shutil.copytree(folder, tmp_path / "damaged")
    (damaged / "test/00000.png").write_bytes(b"")

    with pytest.raises(ValueError, match="must be a whole PNG"):
        pack(damaged, file)
    assert file.read_bytes() == before


@pytest.mark.parametrize("target", ["/dev/null", "."])
def test_what_is_no_ordinary_file_is_not_replaced(folder: Path, target: str):
    with pytest.raises(ValueError, match="a new or an ordinary file, .* is a folder or a device"):
        pack(folder, Path(target))
