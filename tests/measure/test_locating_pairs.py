"""Image pairs with homographies: both layouts, their directions and pixel centres, and what is wrong with a folder."""

from __future__ import annotations

import numpy as np
import pytest
from locating_samples import photograph
from PIL import Image

from resight.errors import InputError
from resight.match.planes import project, similarity
from resight.measure.locating_overlap import match_overlap
from resight.measure.locating_pairs import make_pair, read_pairs
from resight.measure.locating_scenes import warp

MATRIX = np.array([[0.8, 0.1, 12], [-0.1, 0.9, 9], [1e-4, 2e-4, 1]])
HALF = similarity(1, 0, (0, 0), (0.5, 0.5))


def pictures(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        Image.fromarray(photograph(1)).save(folder / name)
    return folder


def written(file, matrix):
    file.write_text("\n".join(" ".join(f"{value:.10e}" for value in row) for row in matrix) + "\n\n")


def test_one_to_n_maps_forward(tmp_path):
    folder = pictures(tmp_path, "img1.png", "img2.png", "img3.png")
    written(folder / "H1to2p", MATRIX)
    written(folder / "H1to3p", np.eye(3))
    two, three = read_pairs(folder)
    assert (two.name, two.template.name, two.scene.name) == ("1-2", "img1.png", "img2.png")
    # The first pixel's centre is 0, 0 in the file and .5, .5 here.
    assert np.allclose(project(two.homography, [[0.5, 0.5], [20.5, 30.5]]) - 0.5, project(MATRIX, [[0, 0], [20, 30]]))
    assert np.allclose(three.homography, np.eye(3))


def test_a_and_b_map_backward(tmp_path):
    folder = pictures(tmp_path / "sub", "wallA.png", "wallB.png")
    written(folder / "wall_model.txt", np.linalg.inv(MATRIX) * 3)
    (pair,) = read_pairs(tmp_path)
    assert (pair.name, pair.template.name, pair.scene.name) == ("sub/wall", "wallA.png", "wallB.png")
    assert np.allclose(project(pair.homography, [[20.5, 30.5]]) - 0.5, project(MATRIX, [[20, 30]]))
    assert pair.homography[2, 2] == 1


def test_the_case_shows_what_the_map_says(tmp_path):
    photo = photograph(2)
    onto = HALF @ MATRIX @ np.linalg.inv(HALF)
    onto /= onto[2, 2]
    Image.fromarray(photo).save(tmp_path / "img1.png")
    Image.fromarray(warp(photo, onto, np.zeros_like(photo))).save(tmp_path / "img2.png")
    written(tmp_path / "H1to2p", MATRIX)
    case = make_pair(read_pairs(tmp_path), 0)
    assert case.tier == "pairs" and case.kind == "1-2" and case.template.shape == (120, 160, 3)
    from resight.match.baselines import sift_ransac
    from resight.match.template import Template

    match = sift_ransac(Template(case.template))(case.scene)
    assert match_overlap(match, case.homography) > 0.95


@pytest.mark.parametrize(
    ("text", "message"),
    [("1 0 0\n0 1 0\n", "got shape"), ("a b c\n", "3 x 3 numbers"), ("0 0 0\n0 0 0\n0 0 0", "can be inverted"),
     ("nan 0 0\n0 1 0\n0 0 1", "can be inverted"), ("1 0 0\n0 1\n0 0 1", "3 x 3 numbers")],
)  # fmt: skip
def test_what_is_no_matrix(tmp_path, text, message):
    (pictures(tmp_path, "img1.png", "img2.png") / "H1to2p").write_text(text)
    with pytest.raises(InputError, match=f"H1to2p: .*{message}"):
        read_pairs(tmp_path)


def test_doors(tmp_path):
    with pytest.raises(InputError, match="expected a folder of image pairs"):
        read_pairs(tmp_path / "none")
    with pytest.raises(InputError, match="no pairs found: expected img1"):
        read_pairs(tmp_path)
    written(tmp_path / "x_model.txt", MATRIX)
    with pytest.raises(InputError, match=r"x_model.txt: the image xA.\* that it belongs to is not beside it"):
        read_pairs(tmp_path)


def test_published_pairs(real_images):
    """The maps have the right direction: what they say agrees with a SIFT homography where that is easy."""
    from resight.match.baselines import sift_ransac
    from resight.match.template import Template

    (pair, *_) = pairs = read_pairs(real_images("graf"))
    assert [one.name for one in pairs] == ["1-2", "1-3", "1-4", "1-5", "1-6"]
    case = make_pair(pairs, 0)
    assert match_overlap(sift_ransac(Template(case.template))(case.scene), pair.homography) > 0.98
    other = read_pairs(real_images("homogr"))
    number = [one.name for one in other].index("adam")
    case = make_pair(other, number)
    assert match_overlap(sift_ransac(Template(case.template))(case.scene), other[number].homography) > 0.95
