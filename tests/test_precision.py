"""Devices and precisions that cannot be had are told in one sentence."""

import pytest
import torch

from donerf.precision import choose_device, choose_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("precision", "said"),
    [
        ("fp16", "'fp16' is a GPU's; a CPU multiplies in fp32 or bf16"),
        ("fp8", "'fp8' is a GPU's; a CPU multiplies in fp32 or bf16"),
        ("int8", "one of auto, fp32, bf16, fp16, fp8, got 'int8'"),
    ],
)
def test_precisions_that_a_cpu_does_not_have_are_refused(precision: str, said: str):
    with pytest.raises(ValueError, match=said):
        choose_precision(precision, CPU, 16)


def test_the_fastest_precision_is_one_that_every_number_fits():
    assert choose_precision("auto", CPU, 16) in ("fp32", "bf16")


def test_devices_by_other_names_are_refused():
    with pytest.raises(ValueError, match="'auto', 'cpu' or 'cuda', got 'gpu'"):
        choose_device("gpu")
