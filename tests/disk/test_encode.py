import numpy as np
import pytest

from solo_bg.disk.encode import encode_image
from solo_bg.errors import ImageError


def test_jpeg_quality(rng):
    picture = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    assert len(encode_image(picture, '.jpg', 20)) < len(encode_image(picture, '.jpg', 95))


def test_what_a_format_cannot_hold_is_an_error():
    with pytest.raises(ImageError, match='a JPEG has no alpha'):
        encode_image(np.zeros((2, 2, 4), np.uint8), '.jpg')
    with pytest.raises(ImageError, match='cannot be encoded'):
        encode_image(np.zeros((2, 2, 3), np.uint8), '.nothing')


@pytest.mark.parametrize(('suffix', 'longest'), [('.jpg', 65500), ('.png', 1_000_000), ('.webp', 16383)])
def test_the_longest_side_of_a_format(suffix, longest, capfd):
    """The error is ours alone: the encoders would print lines of their own."""
    encode_image(np.zeros((1, longest, 3), np.uint8), suffix)
    message = f'is {longest + 1}x1, and a {suffix[1:]} has sides of at most {longest} pixels; choose another format'
    with pytest.raises(ImageError, match=message):
        encode_image(np.zeros((1, longest + 1, 3), np.uint8), suffix)
    assert capfd.readouterr() == ('', '')
