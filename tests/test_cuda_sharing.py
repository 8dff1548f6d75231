"""Which pixels ask the oracle themselves, and the order of rays: tensor operations by hand."""

import numpy as np
import torch
from torch.testing import assert_close

from donerf.backends.cpu.sampling import is_edge, towards_neighbors
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

    # Three blocks in a row and two rows, with a ring around: five columns, four rows.
    assert (blocks.columns, blocks.rows) == (5, 4)
    assert blocks.of_pixel.view(3, 5).tolist() == [
        [6, 6, 7, 7, 8],
        [6, 6, 7, 7, 8],
        [11, 11, 12, 12, 13],
    ]


def test_blocks_that_see_another_surface_are_those_of_the_cpu():
    blocks, bins = Blocks.of(13, 8, CPU), 128
    extents = torch.rand(2, blocks.count) * 1.9 / bins
    extents[:, 27] += 0.2

    alone = blocks.alone(extents, bins).view(8, 13)

    inner = is_edge(extents.view(2, blocks.rows, blocks.columns).numpy() * np.float32(bins))
    expected = inner.repeat(2, axis=0).repeat(2, axis=1)[:8, :13]
    assert 0 < expected.sum() < expected.size
    assert (alone.numpy() == expected).all()


def test_samples_move_as_on_the_cpu():
    blocks = Blocks.of(13, 8, CPU)
    extents = torch.rand(2, blocks.count)

    moves = blocks.moves(extents).view(8, 13)

    depth = extents.view(2, blocks.rows, blocks.columns).mean(0)
    assert_close(moves, torch.from_numpy(towards_neighbors(depth.numpy())[:8, :13]))


def test_a_pixel_finds_its_own_answer_or_its_blocks():
    blocks = Blocks.of(3, 2, CPU)
    alone = torch.tensor([False, True, False, False, True, True])

    result = sources(blocks, alone)

    assert result[~alone].tolist() == blocks.of_pixel[~alone].tolist()
    assert (result[alone] - blocks.count).tolist() == [0, 1, 2]
    assert (result[alone] - blocks.count).tolist() == list(range(int(listed(alone)[0])))


def test_the_longest_rays_come_first_and_neighbors_stay_together():
    assert longest_first(torch.tensor([2, 4, 2, 8, 4])).tolist() == [3, 1, 4, 0, 2]
