from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from samples import picture

from resight.errors import InputError, WorkError
from resight.show import save_picture


@pytest.mark.parametrize(
    ("name", "kind"), [("a.png", "PNG"), ("a.JPG", "JPEG"), ("a.jpeg", "JPEG"), ("a.webp", "WEBP")]
)
def test_the_suffix_says_what_is_written(tmp_path, name, kind):
    save_picture(Image.fromarray(picture(1)), tmp_path / name)
    with Image.open(tmp_path / name) as image:
        assert image.format == kind
        if kind == "PNG":
            assert np.array_equal(np.asarray(image), picture(1))


def test_bad_targets_leave_nothing(tmp_path):
    with pytest.raises(InputError, match=r"a\.txt"):
        save_picture(Image.fromarray(picture(1)), tmp_path / "a.txt")
    with pytest.raises(WorkError):
        save_picture(Image.fromarray(picture(1)), tmp_path / "none" / "a.png")
    assert list(tmp_path.iterdir()) == []
