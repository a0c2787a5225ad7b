import numpy as np
import pytest

from resight.match.planes import area, believable, project, rectangle, similarity


def test_a_similarity_turns_clockwise_on_a_screen_and_takes_its_point_along():
    matrix = similarity(2.0, np.pi / 2, (10, 20), (100, 50))
    assert np.allclose(project(matrix, [[10, 20], [11, 20]]), [[100, 50], [100, 52]])


def test_the_area_of_a_turned_square_is_its_scale_squared():
    assert area(project(similarity(3.0, 0.7, (0, 0), (5, 5)), rectangle((10, 20)))) == pytest.approx(9 * 200)


@pytest.mark.parametrize(
    "matrix",
    [
        np.eye(3),
        similarity(2.0, 2.5, (0, 0), (300, 300)),
        np.array([[1, 0.2, 0], [0, 1, 0], [1e-3, 0, 1.0]]),
    ],
)
def test_what_a_camera_can_see_is_believed(matrix):
    assert believable(matrix, (100, 100))


@pytest.mark.parametrize(
    ("name", "matrix"),
    [
        ("nothing", None),
        ("not finite", np.full((3, 3), np.nan)),
        ("mirrored", np.diag([-1.0, 1.0, 1.0])),
        ("too small", np.diag([0.1, 0.1, 1.0])),
        ("too large", np.diag([6.0, 6.0, 1.0])),
        ("a line", np.array([[1, 0, 0], [1, 1e-3, 0], [0, 0, 1.0]])),
        ("squeezed", np.diag([1.0, 0.1, 1.0])),
        ("behind the horizon", np.array([[1, 0, 0], [0, 1, 0], [-0.02, 0, 1.0]])),
        ("opposite edges 5 : 1", np.array([[1, 0, 0], [0, 1, 0], [0.04, 0, 1.0]])),
        ("folded", np.array([[1, 0, 0], [0, 1, 0], [-0.011, -0.011, 1.0]])),
    ],
)
def test_a_degenerate_place_is_never_believed(name, matrix):
    assert not believable(matrix, (100, 100)), name


def test_a_projection_onto_the_horizon_is_not_finite_and_warns_of_nothing():
    assert not np.isfinite(project(np.array([[1, 0, 0], [0, 1, 0], [-0.1, 0, 1.0]]), [[10, 0]])).any()
