"""Seed, devices and the gpu marker, for every test: no test sets them by itself."""

from pathlib import Path

import numpy as np
import pytest
import torch


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") is not None and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device, and torch sees none")


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Each test draws the same numbers whether it runs alone or after others."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a user has set in the viewer must not show in a test, nor the other way round."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers for numpy, the same in each run."""
    return np.random.default_rng(0)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Each device in turn: a test that takes this runs on the CPU, and again on CUDA if there."""
    return torch.device(request.param)
