"""Settings: every mistake names the key, what it must be, what came and from where."""

from pathlib import Path

import pytest

from donerf.config import Config, load_config
from donerf.training.run import to_toml

ROOT = Path(__file__).resolve().parent.parent


def write(folder: Path, text: str) -> Path:
    file = folder / "scene.toml"
    file.write_text(text)
    return file


@pytest.mark.parametrize("file", sorted((ROOT / "configs").glob("*.toml")), ids=lambda f: f.stem)
def test_the_configs_that_come_along_are_valid(file: Path):
    assert load_config(file).scene.credits


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[oracle]\nlayer = 3", ["'oracle.layer'", "did you mean 'layers'?", "scene.toml"]),
        ("[orcale]", ["'orcale'", "did you mean 'oracle'?"]),
        ("[oracle]\nlayers = 0", ["'oracle.layers'", "greater than or equal to 2", "got 0"]),
        ("[shading]\nshape = 'round'", ["'shading.shape'", "'reference' or 'nerf'", "'round'"]),
        ("[oracle_training]\nlearning_rate = nan", ["oracle_training.learning_rate", "nan"]),
        ("[shading_training]\nsamples = []", ["shading_training.samples", "at least 1 item"]),
        ("[oracle_training]\nseed = 1000000000000000000000000", ["oracle_training.seed"]),
        ("[oracle", ["valid TOML", "scene.toml"]),
    ],
)
def test_a_wrong_config_is_one_clear_sentence(tmp_path: Path, text: str, parts: list[str]):
    with pytest.raises(ValueError, match=r"scene\.toml") as caught:
        load_config(write(tmp_path, text))

    assert all(part in str(caught.value) for part in parts), caught.value
    assert "\n" not in str(caught.value)


def test_a_missing_config_says_where_others_are(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="configs/"):
        load_config(tmp_path / "none.toml")


def test_a_resolved_config_reads_back_as_itself(tmp_path: Path):
    name = 'a "quoted" name, \U0001f3f0 and \x7f'
    config = Config.model_validate({"oracle": {"bins": 64}, "scene": {"name": name}})

    assert load_config(write(tmp_path, to_toml(config))) == config
