"""The frame texture on a GL context without a display (EGL; Mesa's llvmpipe will do)."""

import moderngl
import numpy as np
import pytest

from viewer.frame_texture import FrameTexture
from viewer.text_picture import draw_text


def draw(
    context: moderngl.Context, pictures: list[np.ndarray], width: int, height: int
) -> np.ndarray:
    """Upload and draw pictures one after the other; the target's pixels, row 0 on top."""
    target = context.simple_framebuffer((width, height))
    texture = FrameTexture(context)
    for picture in pictures:
        texture.upload(picture)
        texture.draw(target, (0, 0, width, height))
    # GL reads rows from the bottom.
    pixels = np.frombuffer(target.read(components=3), np.uint8).reshape(height, width, 3)[::-1]
    target.release()
    return pixels


def random_picture(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    picture = rng.integers(0, 256, (height, width, 4), dtype=np.uint8)
    picture[..., 3] = 255
    return picture


# Odd widths need rows that are not aligned to 4 bytes, which is what GL expects by default.
@pytest.mark.parametrize("size", [(16, 12), (17, 9), (1, 1)])
def test_a_picture_comes_out_as_it_went_in_and_the_right_way_up(context, rng, size):
    picture = random_picture(rng, *size)

    assert np.array_equal(draw(context, [picture], *size), picture[..., :3])


def test_a_picture_of_another_size_replaces_the_first(context, rng):
    first, second = random_picture(rng, 8, 8), random_picture(rng, 20, 10)

    assert np.array_equal(draw(context, [first, second], 20, 10), second[..., :3])


def test_a_small_picture_is_stretched_smoothly_over_the_window(context):
    picture = np.zeros((1, 2, 4), np.uint8)
    picture[0, 1, :] = 255
    row = draw(context, [picture], 64, 4)[0, :, 0].astype(int)

    assert row[0] == 0
    assert row[-1] == 255
    assert np.all(np.diff(row) >= 0)
    assert np.diff(row).max() < 20


def test_without_a_picture_the_window_is_black(context):
    target = context.simple_framebuffer((4, 4))
    target.clear(1.0, 1.0, 1.0)
    FrameTexture(context).draw(target, (0, 0, 4, 4))

    assert set(target.read(components=3)) == {0}


def test_a_banner_lies_over_the_picture_and_lets_it_through(context):
    white = np.full((60, 200, 4), 255, np.uint8)
    target = context.simple_framebuffer((200, 60))
    picture, banner = FrameTexture(context), FrameTexture(context)
    picture.upload(white)
    text = draw_text("rendering failed: out of memory", 200)
    banner.upload(text)
    picture.draw(target, (0, 0, 200, 60))
    banner.draw(target, (0, 0, 200, text.shape[0]))
    pixels = np.frombuffer(target.read(components=3), np.uint8).reshape(60, 200, 3)[::-1]

    assert np.all(pixels[: 60 - text.shape[0]] == 255)
    assert 20 < pixels[60 - text.shape[0] :].min() < pixels[60 - text.shape[0] :].max()
