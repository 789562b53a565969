import numpy as np
import torch

from solo_bg.draw.embeddings import embedding_picture, principal_components


def test_components_are_those_of_the_singular_value_decomposition():
    rows = np.random.default_rng(0).normal(size=(50, 6)) * [1, 5, 2, 0.5, 3, 1]
    centred = rows - rows.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    expected = centred @ axes[:3].T
    found = principal_components(torch.from_numpy(rows), 3).numpy()
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-9)


def test_the_sign_does_not_depend_on_the_order_of_the_pixels():
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(50, 6)))
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(principal_components(rows[order], 3), principal_components(rows, 3)[order])


def test_pixels_of_one_embedding_have_one_colour_and_seeds_are_marked():
    embedding = torch.zeros(8, 6, 9)
    embedding[2, :, 4:], embedding[5, 3:] = 4, -1
    picture = embedding_picture(embedding, (60, 90), torch.tensor([0, 5 * 9 + 8]))
    assert picture.shape == (60, 90, 3) and picture.dtype == np.uint8
    assert (picture[5, 5] == 255).all() and (
        picture[55, 85] == 255
    ).all()  # the centres of the first and the last pixel
    plain = embedding_picture(embedding, (60, 90))
    for rows, columns in ((slice(0, 30), slice(0, 40)), (slice(30, 60), slice(40, 90))):
        assert (plain[rows, columns] == plain[rows.start, columns.start]).all()
    assert len(np.unique(plain.reshape(-1, 3), axis=0)) == 4
    assert set(np.unique(plain[..., 0])) == {0, 255}


def test_fewer_dimensions_than_colours_and_no_differences():
    assert embedding_picture(torch.rand(2, 4, 5), (4, 5)).shape == (4, 5, 3)
    assert not embedding_picture(torch.ones(3, 4, 5), (8, 10)).any()
