"""Which pixels ask the oracle themselves, and the order of rays: tensor operations by hand."""

import torch
from torch.testing import assert_close

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


def test_the_pixels_around_another_surface_are_alone():
    blocks, bins = Blocks.of(13, 8, CPU), 128
    extents = torch.rand(2, blocks.rows, blocks.columns) * 1.4 / bins
    extents[:, 3, 4] += 0.2

    alone = blocks.alone(extents.flatten(1), bins).view(8, 13)

    # The block itself and the eight around it, less the ring of one.
    expected = torch.zeros(8, 13, dtype=torch.bool)
    expected[2:8, 4:10] = True
    assert torch.equal(alone, expected)


def test_samples_of_a_slanted_surface_move_a_quarter_of_a_block():
    blocks = Blocks.of(13, 8, CPU)
    row, column = torch.meshgrid(
        torch.arange(float(blocks.rows)), torch.arange(float(blocks.columns)), indexing="ij"
    )
    extents = (3 * row - 2 * column).expand(2, -1, -1)

    moves = blocks.moves(extents.flatten(1)).view(8, 13)

    expected = torch.tensor([[-0.25, -1.25], [1.25, 0.25]]).tile(4, 7)[:, :13]
    assert_close(moves, expected)


def test_a_pixel_finds_its_own_answer_or_its_blocks():
    blocks = Blocks.of(3, 2, CPU)
    alone = torch.tensor([False, True, False, False, True, True])

    result = sources(blocks, alone)

    assert result[~alone].tolist() == blocks.of_pixel[~alone].tolist()
    assert (result[alone] - blocks.count).tolist() == [0, 1, 2]
    assert (result[alone] - blocks.count).tolist() == list(range(int(listed(alone)[0])))


def test_the_longest_rays_come_first_and_neighbors_stay_together():
    assert longest_first(torch.tensor([2, 4, 2, 8, 4])).tolist() == [3, 1, 4, 0, 2]
