"""The gate: formats, limits, and warnings muted without a trace."""

from __future__ import annotations

import io
import threading
import warnings

import numpy as np
import pytest
from PIL import Image

from resight.errors import ImageError
from resight.images.gate import open_image, quiet


def encoded(size: tuple[int, int], kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size).save(file, kind)
    return file.getvalue()


def test_only_listed_formats_open():
    with pytest.raises(ImageError, match="not read here: it is an icon file"):
        open_image(encoded((16, 16), "ICO"), "a.ico")
    with pytest.raises(ImageError, match="JPEG 2000"):
        open_image(encoded((16, 16), "JPEG2000"), "a.jp2")
    with pytest.raises(ImageError, match="not an image of a known format: it begins with the bytes"):
        open_image(encoded((16, 16), "TGA"), "a.tga")


def test_limit_is_inclusive_and_names_the_remedy():
    assert open_image(encoded((10, 10)), "a.png", 100).size == (10, 10)
    with pytest.raises(ImageError) as caught:
        open_image(encoded((10, 10)), "a.png", 99)
    assert str(caught.value) == (
        "a.png: the image has 100 pixels and the limit is 99: "
        "make it smaller (or, in Python, pass max_pixels=100 if you trust it)"
    )


@pytest.mark.parametrize("global_limit", [1, 60, None])
def test_pillows_global_limit_decides_nothing(monkeypatch: pytest.MonkeyPatch, global_limit: int | None):
    data = encoded((10, 10))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", global_limit)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with quiet():
            assert open_image(data, "a.png", 100).size == (10, 10)
            with pytest.raises(ImageError, match="the image has 100 pixels and the limit is 50"):
                open_image(data, "a.png", 50)
    assert global_limit == Image.MAX_IMAGE_PIXELS


def test_webp_over_pillows_own_limit_says_how(monkeypatch: pytest.MonkeyPatch):
    data = encoded((10, 10), "WEBP")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1)
    with pytest.raises(ImageError, match=r"PIL\.Image\.MAX_IMAGE_PIXELS|limit is 50"):
        open_image(data, "a.webp", 50)


def test_quiet_mutes_pillow_only_and_leaves_filters_as_they_were():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        with quiet(), quiet():
            warnings.warn_explicit("from Pillow", UserWarning, "x.py", 1, module="PIL.TiffImagePlugin")
            warnings.warn_explicit("from elsewhere", UserWarning, "x.py", 1, module="PILLAR")
        assert list(warnings.filters) == before
        warnings.warn_explicit("after", UserWarning, "x.py", 2, module="PIL.Image")
    assert [str(one.message) for one in shown] == ["from elsewhere", "after"]


def test_quiet_leaves_no_trace_after_many_threads():
    before = list(warnings.filters)

    def work() -> None:
        for _ in range(200):
            with quiet():
                open_image(encoded((2, 2)), "a.png")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before


def test_image_without_pixels():
    with pytest.raises(ImageError, match=r"PPM|0 x 4"):
        open_image(b"P6 0 4 255\n", "a.ppm")


def test_array_of_zeros_is_named():
    with pytest.raises(ImageError, match="zeros only"):
        open_image(np.zeros(1000, np.uint8).tobytes(), "a.jpg")
