"""Which pixels ask the oracle themselves, and the order of rays: tensor operations by hand."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from donerf.backends.cpu.sampling import Blocks as CpuBlocks
from donerf.backends.cpu.sampling import share_by_blocks
from donerf.backends.cuda.sharing import Blocks, listed, longest_first, sources

CPU = torch.device("cpu")


def test_a_list_says_how_many_it_holds_and_which():
    wanted = torch.tensor([False, True, False, False, True, True])

    result = listed(wanted)

    assert result[0] == 3
    assert result[1:4].tolist() == [1, 4, 5]
    assert result.shape == (7,)


def test_lists_of_none_and_of_all():
    assert listed(torch.zeros(4, dtype=torch.bool))[0] == 0
    assert listed(torch.ones(4, dtype=torch.bool)).tolist() == [4, 0, 1, 2, 3]


def test_every_pixel_lies_in_its_block_of_an_odd_picture():
    blocks = Blocks.of(5, 3, CPU)

    # Three blocks in a row and two rows, with two around: seven columns, six rows.
    assert (blocks.columns, blocks.rows) == (7, 6)
    assert blocks.of_pixel.view(3, 5).tolist() == [
        [16, 16, 17, 17, 18],
        [16, 16, 17, 17, 18],
        [23, 23, 24, 24, 25],
    ]


def landmarks_of(blocks: Blocks, kind: str, bins: int) -> torch.Tensor:
    """Depths of three marks: a slanted surface, part of it further away, or no order at all."""
    row, column = torch.meshgrid(
        torch.arange(float(blocks.rows)), torch.arange(float(blocks.columns)), indexing="ij"
    )
    depth = 50 + 3 * row - 2 * column
    if kind == "two surfaces":
        depth += 20 * (row + column > (blocks.rows + blocks.columns) / 2)
    if kind == "random":
        depth += torch.randn(blocks.rows, blocks.columns)
    marks = depth + torch.tensor([-0.6, 0.1, 0.8])[:, None, None] * (1 + 0.1 * column)
    return marks.flatten(1) / bins


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (3, 5), (13, 8), (40, 31)])
@pytest.mark.parametrize("kind", ["slanted", "two surfaces", "random"])
def test_pixels_share_and_their_samples_move_as_on_the_cpu(kind: str, size: tuple[int, int]):
    blocks, bins = Blocks.of(*size, CPU), 128
    landmarks = landmarks_of(blocks, kind, bins)
    share = torch.rand(4, blocks.count).sort(dim=0).values * 1.2 - 0.1  # some beyond the marks
    s = landmarks[0] + share * (landmarks[-1] - landmarks[0])
    shape = (blocks.rows, blocks.columns)
    same = CpuBlocks(
        s.view(4, 1, *shape).numpy(),
        np.full((1, *shape), 4),
        landmarks.view(-1, *shape).numpy(),
    )
    on_cpu, asking = share_by_blocks(same, size, bins)

    alone = blocks.alone(landmarks, bins)

    assert alone.nonzero().flatten().tolist() == asking.tolist()
    if kind == "two surfaces" and size == (40, 31):
        assert 0 < len(asking) < len(alone) / 4
    low, per_width, by_low, widening = blocks.moves(landmarks, alone)
    own = s[:, blocks.of_pixel]
    moved = own + by_low + ((own - low) * per_width).clamp(0, 1) * widening
    sharing = ~alone
    expected = torch.from_numpy(on_cpu.s[:, 0])[:, sharing]
    assert_close(moved.clamp(0, 1)[:, sharing], expected, atol=1e-6, rtol=0)
    assert_close(moved[:, alone], own[:, alone], atol=0, rtol=0)


def test_a_pixel_finds_its_own_answer_or_its_blocks():
    blocks = Blocks.of(3, 2, CPU)
    alone = torch.tensor([False, True, False, False, True, True])

    result = sources(blocks, alone)

    assert result[~alone].tolist() == blocks.of_pixel[~alone].tolist()
    assert (result[alone] - blocks.count).tolist() == [0, 1, 2]
    assert (result[alone] - blocks.count).tolist() == list(range(int(listed(alone)[0])))


def test_the_longest_rays_come_first_and_neighbors_stay_together():
    assert longest_first(torch.tensor([2, 4, 2, 8, 4])).tolist() == [3, 1, 4, 0, 2]


def test_nothing_between_the_kernels_looks_at_numbers():
    """A CUDA graph holds only work whose sizes do not depend on what is in memory."""
    meta = torch.device("meta")  # Its tensors have sizes, and no numbers to look at.
    blocks = Blocks.of(13, 8, meta)
    landmarks = torch.empty(4, blocks.count, device=meta)

    alone = blocks.alone(landmarks, 128)

    assert listed(alone).shape == (1 + 13 * 8,)
    assert blocks.moves(landmarks, alone).shape == (4, 13 * 8)
    assert sources(blocks, alone).shape == (13 * 8,)
    assert longest_first(torch.empty(13 * 8, dtype=torch.int32, device=meta)).shape == (13 * 8,)
