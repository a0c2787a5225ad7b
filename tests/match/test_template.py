import numpy as np
import pytest
from match_samples import textured
from PIL import Image

from resight.errors import ImageError, InputError
from resight.match import Template


def test_a_box_is_cut_out_and_a_grey_image_becomes_three_equal_channels():
    grey = textured(0)[:, :, 0]
    template = Template.read(grey, box=(10, 20, 50, 60))
    assert template.size == (40, 40) and template.mask is None
    assert (template.image == grey[20:60, 10:50, None]).all()


def test_transparent_pixels_do_not_belong_to_it_and_make_no_edge(tmp_path):
    image = np.dstack([textured(1, 40, 60), np.full((40, 60), 255, np.uint8)])
    image[:, :20, 3] = 0
    image[:, :20, :3] = 255  # a hard edge, if it were seen
    Image.fromarray(image).save(tmp_path / "logo.png")
    template = Template.read(tmp_path / "logo.png")
    assert template.mask is not None
    assert not template.mask[:, :20].any() and template.mask[:, 20:].all()
    assert (template.image[:, 20:] == image[:, 20:, :3]).all()
    assert np.allclose(template.image[:, :20], image[:, 20:, :3].reshape(-1, 3).mean(0), atol=1)


def test_a_polygon_is_cut_to_its_box_and_masks_the_rest():
    template = Template.read(textured(2), polygon=[[10, 10], [50, 10], [10, 50]])
    assert template.size == (40, 40) and template.mask is not None
    assert template.mask[5, 5] and not template.mask[35, 35]
    assert template.mask.mean() == pytest.approx(0.5, abs=0.03)


def test_what_is_prepared_is_made_once():
    template, made = Template(textured(3)), []
    for _ in range(3):
        assert template.kept("thing", lambda: made.append(1) or 7) == 7
    assert made == [1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"box": (0, 0, 3, 3)}, "at least 4 x 4 pixels, got 3 x 3"),
        ({"box": (0, 0, 9, 9), "polygon": [[0, 0], [9, 0], [9, 9]]}, "not both"),
        ({"polygon": [[0, 0], [9, 0]]}, "at least 3 points"),
        ({"polygon": [[0, 0], [float("nan"), 0], [5, 5]]}, "at least 3 points"),
        ({"polygon": [[0, 0], [50, 50], [50, 0], [0, 50]]}, "sides 1 and 3 meet"),
        ({"polygon": [[-50, 0], [-10, 0], [-10, 9]]}, "covers nothing"),
        ({"mask": np.zeros((240, 320), bool)}, "too few to find"),
        ({"mask": np.ones((5, 5), bool)}, "expected a mask"),
        ({"box": (400, 0, 500, 9)}, "overlaps the image"),
    ],
)
def test_what_cannot_be_a_template_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        Template.read(textured(4), **options)


def test_a_file_that_is_none_is_named(tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        Template.read(tmp_path / "missing.png")
