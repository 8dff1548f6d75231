import subprocess
import sys

import pytest

from donerf.assets import default_scene
from donerf.cli import COMMANDS, run, sample_counts
from donerf.command_line import sentence_of_box


def test_help_names_every_command(capsys):
    run(["--help"])

    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in COMMANDS)


def test_no_arguments_show_the_help(capsys):
    run([])

    assert capsys.readouterr().out.startswith("usage: donerf")


def test_help_is_answered_without_torch():
    code = (
        "import sys; from donerf.cli import run; run(['--help']); sys.exit('torch' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("evaluate none.donerf --data here", "no scene file none.donerf"),
        ("evaluate assets --data here", "got the folder assets"),
        ("info none.donerf", "no scene file none.donerf"),
        ("view none.donerf", "no scene file none.donerf"),
        ("train oracle none.toml", "no config file none.toml"),
    ],
)
def test_a_missing_file_is_told_without_torch(line: str, told: str):
    code = (
        "import sys; from donerf.cli import main\n"
        "try: main()\n"
        "finally: sys.stderr.write('with torch' * ('torch' in sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", code, *line.split()], capture_output=True)

    assert done.returncode == 2
    assert told.encode() in done.stderr
    assert b"with torch" not in done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str):
    code = "from donerf.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, name, "--help"], capture_output=True)

    assert done.returncode == 0
    assert b"usage: donerf " + name.encode() in done.stdout


def test_the_package_runs_as_the_command_too():
    done = subprocess.run([sys.executable, "-m", "donerf", "--help"], capture_output=True)

    assert done.returncode == 0
    assert done.stdout.startswith(b"usage: donerf")


def test_a_misspelled_command_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="got 'infp'; did you mean 'info'"):
        run(["infp"])


def test_demo_data_writes_a_data_set_that_prepare_accepts_and_packs(tmp_path, capsys):
    folder, packed = tmp_path / "demo", tmp_path / "demo.pack"

    run(["demo-data", str(folder), "--size", "8", "6", "--views", "2", "1", "1"])
    run(["prepare", str(folder), "--pack", str(packed)])

    assert "8x6" in capsys.readouterr().out
    assert packed.is_file()


def test_sample_counts_are_numbers_with_commas():
    assert sample_counts("1,2,16") == (1, 2, 16)
    with pytest.raises(ValueError, match="such as 1,2,4; got '1,x'"):
        run(["evaluate", "scene.donerf", "--data", "data", "--samples", "1,x"])


def test_only_networks_and_a_scene_can_be_trained():
    with pytest.raises(ValueError, match="joint, nerf or a scene.json, got 'configs/a.toml'"):
        run(["train", "configs/a.toml"])


def test_a_wrong_command_ends_with_one_sentence_and_exit_code_2():
    code = "from donerf.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "info", "nowhere.donerf"], capture_output=True, text=True
    )

    assert done.returncode == 2
    assert done.stderr.startswith("error: no scene file nowhere.donerf")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_option_is_named_in_one_sentence(name: str):
    words = {
        "benchmark": ["speed", "a.donerf"],
        "train": ["oracle", "configs/smoke.toml"],
        "render-scene": ["a.blend", "--out", "b"],
        "evaluate": ["a", "--data", "b"],
        "import-onnx": ["a", "--out", "b"],
        "doctor": [],
        "setup-blender": [],
    }.get(name, ["a"])

    with pytest.raises(ValueError, match="has no option --bogus; donerf .* --help") as fault:
        run([name, *words, "--bogus"])
    assert "\n" not in str(fault.value)


SMOKE = "train oracle configs/smoke.toml"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("evaluate a --data b --sampels 3", "has no option --sampels, the nearest is --samples;"),
        ("benchmark quality --out b --sampels 3", "the nearest is --samples;"),
        ("view --sampels 3", "has no option --sampels, the nearest is --samples;"),
        ("render-scene a --out b --sampels 3", "no option --sampels, the nearest is --samples;"),
        ("doctor --jsn", "donerf doctor has no option --jsn, the nearest is --json;"),
        (f"{SMOKE} --oracle.bin 4", "has no option --oracle.bin, the nearest is --oracle.bins;"),
        (f"{SMOKE} --step 4", "has no option --step, the nearest is --oracle-training.steps;"),
        (f"{SMOKE} --learning-rate=1", "the nearest is --oracle-training.learning-rate;"),
        (f"{SMOKE} --widht 4", "has no option --widht, the nearest is --oracle.width;"),
        (f"{SMOKE} --resum", "has no option --resum, the nearest is --resume;"),
        (f"{SMOKE} --precison fp32", "has no option --precison, the nearest is --precision;"),
        (f"{SMOKE} --oracle.bins 4.5", "--oracle.bins must be a whole number, got '4.5';"),
        (f"{SMOKE} --oracle.bins -3", "--oracle.bins must be greater than .* 2, got -3;"),
        (f"{SMOKE} --oracle.bins", "--oracle.bins must have a value;"),
        (f"{SMOKE} more", "has nothing to do with 'more';"),
        ("prepare", "donerf prepare needs DIR;"),
        ("info --file a", "donerf info needs FILE;"),
        ("evaluate", "donerf evaluate needs FILE and --data DIR;"),
        ("import-onnx a", "donerf import-onnx needs --out FILE;"),
        ("import-onnx a --out b --yaw-deg x", "--yaw-deg must be a number, got 'x';"),
        ("evaluate a --data b --split x", "--split must be one of 'train', .*; got 'x';"),
        ("demo-data a --size 3", "--size must have 2 values;"),
        ("demo-data a --size 3 x", "--size must be WIDTH HEIGHT, got '3' 'x';"),
        ("prepare a --views 1 2", "--views must be TRAIN VAL TEST, got '1' '2';"),
        ("view --size 3", "^--size must be WIDTHxHEIGHT, .* got '3';"),
        ("render-scene a", "the following arguments are required: --out;"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_sentence(monkeypatch, line, told):
    monkeypatch.setenv("COLUMNS", "40")  # Where tyro breaks each of its lines.

    with pytest.raises(ValueError, match=told) as fault:
        run(line.split())
    assert "\n" not in str(fault.value) and "--help" in str(fault.value)


def test_a_box_in_color_is_read_as_one_without():
    red, plain = "\x1b[31m", "\x1b[0m"
    box = (
        f"{red}╭─{plain} Title {red}─╮{plain}\n{red}│{plain} \x1b[1;91mwrong{plain} {red}│{plain}\n"
    )

    assert sentence_of_box(box, "donerf x") == "wrong; donerf x --help explains the options"


def test_info_breaks_no_lines(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    run(["info", str(default_scene())])

    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("trained: oracle settings final_learning_rate  ") for line in lines)
    assert all(line.strip() for line in lines)
