import subprocess
import sys

import pytest

from donerf.cli import COMMANDS, run, sample_counts


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


def test_only_oracle_shader_nerf_and_a_scene_can_be_trained():
    with pytest.raises(ValueError, match="shader, nerf or a scene.json, got 'configs/a.toml'"):
        run(["train", "configs/a.toml"])


def test_a_wrong_command_ends_with_one_sentence_and_exit_code_2():
    code = "from donerf.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "info", "nowhere.donerf"], capture_output=True, text=True
    )

    assert done.returncode == 2
    assert done.stderr.startswith("error: no scene file nowhere.donerf")
    assert len(done.stderr.splitlines()) == 1
