"""Seed, devices, the gpu marker and OpenGL without a display: no test sets them up by itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

if TYPE_CHECKING:
    import moderngl

HAS_TRITON = find_spec("triton") is not None

if HAS_TRITON and not torch.cuda.is_available():
    # Without a GPU the kernels are interpreted; Triton reads this when it is first imported.
    os.environ["TRITON_INTERPRET"] = "1"
    from triton.runtime import interpreter

    _patch_tensor = interpreter._patch_lang_tensor

    def _patch_tensor_and_index(tensor: type, scope: interpreter._LangPatchScope) -> None:
        """Triton 3.6 reads the end of a loop in a way that numpy 2.4 no longer allows."""
        _patch_tensor(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.item()))

    interpreter._patch_lang_tensor = _patch_tensor_and_index


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


@pytest.fixture
def kernel_device() -> torch.device:
    """Where Triton's kernels run: on CUDA if there, else on the CPU through its interpreter."""
    if not HAS_TRITON:
        pytest.skip("needs Triton, which exists for Linux on x86-64 alone")
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(scope="module")
def context() -> Iterator[moderngl.Context]:
    """A GL context without a display (EGL; Mesa's llvmpipe will do)."""
    import moderngl  # Not on top: a machine without it can run all other tests.

    # Its type says that any further option is a dict.
    options: dict[str, Any] = {"backend": "egl"}
    try:
        context = moderngl.create_context(standalone=True, require=330, **options)
    except Exception as error:
        pytest.skip(f"no OpenGL through EGL here ({error}); libegl1 and libgl1-mesa-dri give it")
    yield context
    context.release()
