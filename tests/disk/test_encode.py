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
    with pytest.raises(ImageError, match='16383'):
        encode_image(np.zeros((1, 16400, 3), np.uint8), '.webp')
    with pytest.raises(ImageError, match='cannot be encoded'):
        encode_image(np.zeros((2, 2, 3), np.uint8), '.nothing')
