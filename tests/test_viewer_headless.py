import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image, ImageSequence
from viewer_scene import CELL, DATA_SIZE, write_data, write_oracle, write_scene

from donerf import load_scene, make_renderer
from viewer.app import main
from viewer.arguments import MODES, parse
from viewer.capture import read_pose, save_capture
from viewer.film import open_film
from viewer.fly_camera import FlyFrame, FlyPose, make_camera
from viewer.key_frames import CameraPath, KeyFrame
from viewer.path_file import write_path
from viewer.render_modes import RenderMode
from viewer.rendering import RenderRequest, render_picture

ROOT = Path(__file__).resolve().parent.parent
Run = Callable[..., dict]


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path)


@pytest.fixture
def run(scene: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the viewer headless in the test's folder; returns what it said on stdout."""
    monkeypatch.chdir(scene.parent)

    def view(*options: str) -> dict:
        main([str(scene), "--headless", "--device", "cpu", "--precision", "fp32", *options])
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    return view


def write_pose(path: Path, position: tuple[float, ...] = CELL.center, **more: object) -> str:
    pose = FlyPose(np.array(position), yaw=0.1, pitch=-0.2)
    document = {"transform_matrix": FlyFrame(CELL).matrix(pose).tolist(), **more}
    path.write_text(json.dumps(document))
    return str(path)


def read_mp4(path: Path) -> list[np.ndarray]:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path)]
    ppm = subprocess.run([*command, "-f", "image2pipe", "-c:v", "ppm", "-"], capture_output=True)
    stream, frames = io.BytesIO(ppm.stdout), []
    while stream.readline() == b"P6\n":
        width, height = map(int, stream.readline().split())
        stream.readline()
        pixels = np.frombuffer(stream.read(3 * width * height), np.uint8)
        frames.append(pixels.reshape(height, width, 3))
    return frames


def read_png(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def film_until_interrupted(path: Path, frames: int) -> None:
    with open_film(path, (16, 16), 24) as film:
        for _ in range(frames):
            film.add(np.zeros((16, 16, 4), np.uint8))
        raise KeyboardInterrupt


def no_leftovers(folder: Path) -> bool:
    return not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_an_mp4_holds_every_picture_of_the_flight(run: Run, tmp_path: Path):
    summary = run("--frames", "5", "--size", "40x30", "--samples", "2", "--out", "fly.mp4")
    frames = read_mp4(tmp_path / "fly.mp4")

    assert [frame.shape for frame in frames] == [(30, 40, 3)] * 5
    assert no_leftovers(tmp_path)
    assert summary["frames"] == 5
    assert summary["size"] == [40, 30]
    assert summary["samples"] == summary["mean_samples"] == 2
    assert summary["device"] == "cpu"
    assert summary["backend"] == "cpu"
    assert summary["fps"] == pytest.approx(1000 / summary["ms_median"], rel=0.01)


def test_an_mp4_of_odd_size_repeats_its_edge(run: Run, tmp_path: Path, capsys):
    run("--frames", "2", "--size", "41x31", "--out", "fly.mp4")

    assert read_mp4(tmp_path / "fly.mp4")[0].shape == (32, 42, 3)


def test_a_folder_holds_the_pictures_as_they_were_rendered(run: Run, tmp_path: Path):
    run("--frames", "3", "--size", "20x16", "--out", "frames/")
    run("--size", "20x16", "--out", "home.png")
    names = sorted(path.name for path in (tmp_path / "frames").iterdir())

    assert names == ["00000.png", "00001.png", "00002.png"]
    first = read_png(tmp_path / "frames/00000.png")
    assert np.array_equal(first, read_png(tmp_path / "home.png"))
    assert first.shape == (16, 20, 3)


def test_a_gif_plays_for_ever(run: Run, tmp_path: Path):
    run("--frames", "3", "--size", "20x16", "--out", "fly.gif")
    with Image.open(tmp_path / "fly.gif") as film:
        assert film.info["loop"] == 0
        assert [frame.size for frame in ImageSequence.Iterator(film)] == [(20, 16)] * 3


def test_the_picture_in_a_film_is_the_one_that_was_rendered(run: Run, tmp_path: Path):
    run("--frames", "1", "--size", "64x48", "--out", "fly.mp4")
    run("--size", "64x48", "--out", "home.png")
    film = read_mp4(tmp_path / "fly.mp4")[0].astype(float)
    picture = read_png(tmp_path / "home.png").astype(float)

    # Compression and 4:2:0 color change single pixels, never the picture.
    assert np.abs(film - picture).mean() < 6


def test_a_second_flight_replaces_the_first(run: Run, tmp_path: Path):
    for frames in ("4", "2"):
        run("--frames", frames, "--size", "8x8", "--out", "frames")

    assert len(list((tmp_path / "frames").iterdir())) == 2
    assert no_leftovers(tmp_path)


def test_a_folder_with_other_files_is_left_alone(run: Run, tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("keep")

    with pytest.raises(ValueError, match=r"mine holds other files \(notes.txt\)"):
        run("--frames", "1", "--out", "mine")
    assert (tmp_path / "mine/notes.txt").read_text() == "keep"


@pytest.mark.parametrize("name", ["fly.mp4", "fly.gif", "frames"])
@pytest.mark.parametrize("added", [0, 2])
def test_an_interrupted_film_leaves_what_was_there(tmp_path: Path, name: str, added: int):
    path = tmp_path / name
    if path.suffix:
        path.write_bytes(b"the film of yesterday")
    with pytest.raises(KeyboardInterrupt):
        film_until_interrupted(path, added)

    assert no_leftovers(tmp_path)
    assert not path.suffix or path.read_bytes() == b"the film of yesterday"


def test_a_folder_that_cannot_be_replaced_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def rename(path: Path, target: Path) -> None:
        if path.suffix == ".tmp":
            raise OSError("no space left")
        path.replace(target)

    (tmp_path / "frames").mkdir()
    (tmp_path / "frames/00000.png").write_bytes(b"the film of yesterday")
    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(OSError, match="no space"), open_film(tmp_path / "frames", (4, 4), 24):
        pass

    assert (tmp_path / "frames/00000.png").read_bytes() == b"the film of yesterday"
    assert no_leftovers(tmp_path)


def test_a_pose_gives_the_picture_from_there(run: Run, tmp_path: Path):
    pose = write_pose(tmp_path / "p.json")
    summary = run("--pose", pose, "--size", "24x18", "--samples", "2", "--out", "p.png")

    assert read_png(tmp_path / "p.png").shape == (18, 24, 3)
    assert summary["frames"] == 1


def test_a_pose_outside_the_cell_is_shown_only_on_demand(run: Run, tmp_path: Path):
    pose = write_pose(tmp_path / "p.json", position=(5.0, 2.0, 1.5))
    options = ("--pose", pose, "--size", "8x8", "--out", "p.png")

    with pytest.raises(ValueError, match=r"view cell .* got 5, 2, 1.5 in .*p.json; --free"):
        run(*options)
    assert not (tmp_path / "p.png").exists()
    assert run(*options, "--free")["frames"] == 1


@pytest.mark.parametrize(("mode", "is_adaptive"), [("depth", False), ("color", True)])
def test_a_screenshot_is_made_again_from_its_json_bit_for_bit(
    run: Run, scene: Path, mode: str, is_adaptive: bool
):
    loaded = load_scene(scene)
    renderer = make_renderer(loaded, device="cpu", precision="fp32")
    pose = FlyPose(np.array([-1.3, 1.0, 1.6]), yaw=0.37, pitch=-0.21)
    camera = make_camera(FlyFrame(CELL).matrix(pose), 51, 37, CELL.fov_x)
    request = RenderRequest(camera, 3, RenderMode(mode), adaptive=is_adaptive)
    picture = render_picture(renderer, request, CELL)
    assert picture is not None
    assert picture.mean_samples != 3 or not is_adaptive
    shot = save_capture(picture, scene.parent, loaded, renderer.info)
    run("--pose", str(shot.with_suffix(".json")), "--out", "again.png")

    assert shot.name == "noise-0001.png"
    assert read_png(shot).shape == (37, 51, 3)
    assert np.array_equal(read_png(shot), read_png(scene.parent / "again.png"))


def test_captures_never_replace_each_other(scene: Path):
    loaded = load_scene(scene)
    renderer = make_renderer(loaded, device="cpu", precision="fp32")
    request = RenderRequest(make_camera(np.eye(4), 4, 3, 1.0), 1, RenderMode.COLOR)
    picture = render_picture(renderer, request, CELL)
    assert picture is not None
    paths = [save_capture(picture, scene.parent, loaded, renderer.info) for _ in range(2)]

    assert [path.name for path in paths] == ["noise-0001.png", "noise-0002.png"]


def test_every_mode_gives_a_picture_of_its_own(run: Run, tmp_path: Path):
    data, scene = write_data(tmp_path)
    pictures = []
    for mode in MODES:
        options = ("--data", str(data), "--view", "1", "--samples", "2", "--mode", mode)
        main([str(scene), "--device", "cpu", "--precision", "fp32", "--out", "m.png", *options])
        pictures.append(read_png(tmp_path / "m.png"))

    assert {picture.shape for picture in pictures} == {(DATA_SIZE[1], DATA_SIZE[0], 3)}
    assert all(picture.std() > 0 for picture in pictures)
    assert len({picture.tobytes() for picture in pictures}) == len(MODES)


def test_the_error_needs_something_to_compare_with(run: Run):
    with pytest.raises(ValueError, match="this renderer shows"):
        run("--mode", "error", "--size", "8x8", "--out", "p.png")


def test_a_view_that_the_data_set_lacks_is_told(run: Run, tmp_path: Path):
    data, scene = write_data(tmp_path)

    with pytest.raises(ValueError, match=r"one of the 3 'test' views of .* got 3"):
        main([str(scene), "--data", str(data), "--view", "3", "--out", "p.png"])


def test_a_data_set_of_another_place_is_refused(tmp_path: Path):
    data, _ = write_data(tmp_path)
    elsewhere = write_scene(tmp_path, replace(CELL, center=(50.0, 0.0, 0.0)))

    with pytest.raises(ValueError, match="must lie in the scene's view cell"):
        main([str(elsewhere), "--data", str(data), "--view", "0", "--out", "p.png"])


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "error"])
def test_a_scene_without_shading_shows_its_distances_in_gray(tmp_path: Path, mode: str):
    scene, out = str(write_oracle(tmp_path)), tmp_path / "oracle.png"
    options = ("--device", "cpu", "--precision", "fp32", "--size", "16x12", "--mode", mode)
    main([scene, *options, "--out", str(out)])
    picture = read_png(out)

    assert picture.shape == (12, 16, 3)
    if mode == "color":
        assert np.array_equal(picture, np.repeat(picture[..., :1], 3, axis=-1))
        assert picture.std() > 0


def test_the_command_line_knows_every_mode():
    assert tuple(MODES) == tuple(mode.value for mode in RenderMode)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--size", "400"], "must be WIDTHxHEIGHT"),
        (["--size", "0x300"], "must be WIDTHxHEIGHT"),
        (["--size", "-4x300"], "expected one argument"),
        (["--samples", "0"], "must be a whole number"),
        (["--samples", "2.5"], "must be a whole number"),
        (["--frames", "none"], "must be a whole number"),
        (["--budget-ms", "nan"], "must be milliseconds"),
        (["--mode", "x-ray"], "invalid choice"),
        (["--view", "3"], "name that with --data"),
        (["--view", "-1"], "0 is the first view"),
        (["--data", "d", "--view", "1", "--pose", "p.json"], "leave one of them out"),
        (["--bogus"], "has no option --bogus"),
        (["--out", "p.png", "--frames", "9"], "holds one picture"),
        (["--out", "p.mp4", "--pose", "p.json"], "must end in .png"),
        (["--path", "a.json", "--pose", "p.json"], "leave --pose and --view out"),
        (["--watch", "run", "a.donerf"], "leave a.donerf away"),
        (["--watch", "run", "--headless"], "in a window"),
        (["--compare", "truth"], "name it with --data"),
        (["--compare", "nothing"], "must be a number of samples"),
        (["--compare", "0"], "must be a whole number"),
        (["--capture-size", "big"], "must be WIDTHxHEIGHT"),
        (["--transfer", "magic"], "invalid choice"),
    ],
)
def test_a_wrong_option_is_one_sentence(options: list[str], sentence: str):
    with pytest.raises(ValueError, match=sentence) as error:
        parse(options, "view")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "must be JSON"),
        ("[1, 2]", "must have a 'transform_matrix'"),
        ("{}", "must have a 'transform_matrix'"),
        ('{"transform_matrix": [[1, 2], [3]]}', "must be 4x4 numbers"),
        ('{"transform_matrix": [["a", "b"]]}', "must be 4x4 numbers"),
        (f'{{"transform_matrix": {[[float("nan")] * 4] * 4}}}'.replace("nan", "NaN"), "finite"),
        (f'{{"transform_matrix": {np.diag([2.0, 1, 1, 1]).tolist()}}}', "no scale"),
        (f'{{"transform_matrix": {np.eye(4).tolist()}, "size": [4]}}', "'size' must be"),
        (f'{{"transform_matrix": {np.eye(4).tolist()}, "size": [200000, 9]}}', "1 ... 16384 pix"),
        (f'{{"transform_matrix": {np.eye(4).tolist()}, "samples": 0}}', "'samples' and"),
        (f'{{"transform_matrix": {np.eye(4).tolist()}, "samples": 1000000000}}', "1 ... 256, got"),
        (f'{{"transform_matrix": {[[10**400] * 4] * 4}}}', "must be 4x4 numbers"),
        (f'{{"transform_matrix": {np.eye(4).tolist()}, "camera_angle_x": 4}}', "'camera_angle_x'"),
        (f'{{"transform_matrix": {np.eye(4).tolist()}, "mode": "x"}}', "'x' is not a valid"),
    ],
)
def test_a_wrong_pose_file_is_one_sentence_that_names_it(tmp_path: Path, text: str, sentence: str):
    path = tmp_path / "pose.json"
    path.write_text(text)

    with pytest.raises(ValueError, match=sentence) as error:
        read_pose(path)
    assert "pose.json" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("out", ["no.txt", "scene/fly.mp4", "taken.mp4", "scene/p.png"])
def test_what_cannot_be_written_is_told_by_name(run: Run, tmp_path: Path, out: str):
    (tmp_path / "scene").write_text("a file where a folder is needed")
    (tmp_path / "taken.mp4").mkdir()

    with pytest.raises((ValueError, OSError), match=out.split("/")[-1]):
        run("--frames", "1", "--size", "8x8", "--out", out)


@pytest.mark.parametrize("out", ["file/p.png", "file/p.mp4", "file/frames", "folder.png"])
def test_view_py_says_in_one_line_why_a_place_cannot_be_written(tmp_path: Path, out: str):
    (tmp_path / "file").write_text("a file where a folder is needed")
    (tmp_path / "folder.png").mkdir()
    options = ("--headless", "--frames", "1", "--size", "8x8", "--out", out)
    done = subprocess.run(
        [sys.executable, str(ROOT / "view.py"), str(write_scene(tmp_path)), *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert out in line
    assert "None" not in line
    assert no_leftovers(tmp_path)


def test_the_status_file_tells_the_end_and_the_error(run: Run, tmp_path: Path):
    status = tmp_path / "status.json"
    run("--frames", "2", "--size", "8x8", "--out", "frames", "--status-file", str(status))
    assert json.loads(status.read_text())["state"] == "done"
    assert json.loads(status.read_text())["frames"] == 2

    with pytest.raises(FileNotFoundError):
        run("--pose", "nowhere.json", "--status-file", str(status))
    assert "nowhere.json" in json.loads(status.read_text())["error"]


def write_film_path(folder: Path) -> tuple[Path, CameraPath]:
    ends = (((-1.8, 0.5, 1.3), -0.3), ((-0.2, 3.5, 1.7), 0.3))
    keys = [KeyFrame(2.0 * i, place, yaw, -0.1) for i, (place, yaw) in enumerate(ends)]
    path = CameraPath(tuple(keys))
    write_path(folder / "path.json", path, CELL)
    return folder / "path.json", path


def test_a_film_follows_a_camera_path_from_end_to_end(run: Run, tmp_path: Path):
    file, path = write_film_path(tmp_path)
    options = ("--size", "16x12", "--samples", "2")
    summary = run("--path", str(file), "--fps", "5", "--out", "frames", *options)
    assert summary["frames"] == 11, "two seconds, both ends"

    frame = FlyFrame(CELL)
    for name, key in (("00000.png", path.keys[0]), ("00010.png", path.keys[1])):
        (tmp_path / "end.json").write_text(
            json.dumps({"transform_matrix": frame.matrix(key.pose).tolist()})
        )
        run("--pose", "end.json", "--out", "end.png", *options)
        assert np.array_equal(read_png(tmp_path / "end.png"), read_png(tmp_path / "frames" / name))


def test_the_length_of_a_film_along_a_path_can_be_chosen(run: Run, tmp_path: Path):
    file, _ = write_film_path(tmp_path)

    assert run("--path", str(file), "--frames", "3", "--size", "8x8", "--out", "f")["frames"] == 3
    assert run("--path", str(file), "--size", "8x8", "--out", "p.png")["frames"] == 1


def test_distances_are_saved_beside_a_picture_and_only_there(run: Run, tmp_path: Path):
    run("--size", "16x12", "--out", "p.png", "--raw-depth")
    with np.load(tmp_path / "p_depth.npz") as file:
        depth = file["depth"]

    assert depth.shape == (12, 16)
    assert depth.dtype == np.float32
    assert np.all((depth > 0) & (depth <= 2 * CELL.depth_range[1]))
    with pytest.raises(ValueError, match="--raw-depth is of one picture"):
        run("--frames", "2", "--size", "8x8", "--out", "f", "--raw-depth")


def test_a_way_of_pictures_that_needs_a_gpu_is_refused_without_one(run: Run):
    with pytest.raises(ValueError, match="'pinned' needs a CUDA GPU"):
        run("--transfer", "pinned")


def test_a_training_that_is_not_there_cannot_be_watched(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="there is no training in"):
        main(["--watch", str(tmp_path)])


def test_headless_needs_neither_gl_nor_a_window_library(scene: Path):
    code = f"""
import sys
sys.modules["glfw"] = sys.modules["moderngl"] = None
from viewer.app import main
main([{str(scene)!r}, "--headless", "--frames", "1", "--size", "8x8", "--out", "frames"])
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=scene.parent,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr


def test_view_py_says_what_is_wrong_in_one_line(tmp_path: Path):
    cut = tmp_path / "cut.donerf"
    cut.write_bytes(write_scene(tmp_path).read_bytes()[:1000])
    done = subprocess.run(
        [sys.executable, str(ROOT / "view.py"), str(cut), "--headless"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "cut.donerf" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("*.mp4"))
