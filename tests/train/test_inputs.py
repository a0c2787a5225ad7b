from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from samples import picture

from resight.errors import ImageError, InputError
from resight.images.resize import fit
from resight.train.inputs import Fitting, make_fitting, mirror_notes, one_or_many, pad_clips, why_not
from resight.train.options import TrainOptions, resolved


def test_images_are_fitted_as_everywhere_else(tmp_path):
    image = picture(1)
    Image.fromarray(image).save(tmp_path / "a.png")
    for mode, crop in (("squash", 0.875), ("crop", 0.9)):
        fitted = Fitting(48, mode, crop=crop)(tmp_path / "a.png")
        assert fitted.dtype == torch.uint8 and fitted.is_contiguous()
        np.testing.assert_array_equal(fitted.permute(1, 2, 0).numpy(), fit(image, 48, mode, "bicubic", crop))


def test_input_arrays_are_not_modified():
    image = picture(2, 40, 40)
    before = image.copy()
    fitted = Fitting(40, circle=True)(image, lambda array: array)
    fitted += 1
    np.testing.assert_array_equal(image, before)


def test_an_edit_comes_before_the_fit():
    image = picture(3)
    turned = Fitting(32)(image, lambda array: np.rot90(array))
    np.testing.assert_array_equal(turned.permute(1, 2, 0).numpy(), fit(np.rot90(image), 32, "squash"))


def test_the_circle_is_black_outside():
    seen = Fitting(32, circle=True)(np.full((50, 50, 3), 200, np.uint8))
    rows, columns = np.mgrid[:32, :32] + 0.5
    outside = (rows - 16) ** 2 + (columns - 16) ** 2 > 17**2
    inside = (rows - 16) ** 2 + (columns - 16) ** 2 < 15**2
    assert not seen.numpy()[:, outside].any() and (seen.numpy()[:, inside] == 200).all()


def test_the_preprocessing_of_the_weights_decides_how_pixels_are_scaled():
    options = resolved(TrainOptions(fit="crop", mask="circle"), 224)
    record = {"rgb": {"preprocessing": {"interpolation": "bilinear", "crop": 0.95}}, "sift": {"preprocessing": {}}}
    assert make_fitting(options, record) == Fitting(224, "crop", True, 0, "bilinear", 0.95)
    alone = make_fitting(resolved(TrainOptions(sequences=True, frames=5), 64), {"sift": record["rgb"]})
    assert alone == Fitting(64, "squash", False, 5, "bilinear", 0.95)


def test_padding_keeps_what_is_there():
    clips = [torch.rand(n, 2, 3) for n in (3, 1, 2)]
    padded, lengths = pad_clips(clips)
    assert padded.shape == (3, 3, 2, 3) and lengths.tolist() == [3, 1, 2]
    for row, clip in zip(padded, clips, strict=True):
        assert torch.equal(row[: len(clip)], clip) and not row[len(clip) :].any()


def test_why_an_image_or_a_frame_cannot_be_read(tmp_path):
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip/2.png").symlink_to("gone.png")
    (tmp_path / "clip/10.png").write_bytes(b"")

    def told(fitting, item):
        with pytest.raises(ImageError) as caught:
            fitting(item)
        return why_not(caught.value, item)

    assert told(Fitting(8, frames=4), tmp_path / "clip") == "2.png: no such file, it is a link to gone.png"
    (tmp_path / "clip/2.png").unlink()
    assert told(Fitting(8, frames=4), str(tmp_path / "clip")) == "10.png: the file is empty"
    assert told(Fitting(8), tmp_path / "clip/10.png") == "the file is empty"
    assert told(Fitting(8), f"{tmp_path}//clip/./10.png") == "the file is empty"
    assert told(Fitting(8), tmp_path / "none.png") == "no such file"
    assert told(Fitting(8), tmp_path / ("n" * 300)) == "the name is too long"
    (tmp_path / "take").symlink_to("/nowhere/take")
    assert told(Fitting(8, frames=4), tmp_path / "take") == "no such folder or file, it is a link to /nowhere/take"
    assert why_not(ImageError("Pillow image", "damaged"), Image.new("RGB", (2, 2))) == "damaged"


def test_one_item_is_an_item():
    image = picture(1)
    for one in ("a.jpg", Path("a.jpg"), Image.fromarray(image)):
        assert one_or_many(one) == [one]
    for one in (image, image[..., 0]):
        (found,) = one_or_many(one)
        assert found is one
    for many in (["a.jpg"], (Path("a.jpg"),), np.stack([image, image]), iter([image])):
        assert one_or_many(many) is many
    for wrong in (3, b"a.jpg", None):
        with pytest.raises(InputError, match=f"a Pillow image, or several of them, got {type(wrong).__name__}"):
            one_or_many(wrong)


@pytest.mark.parametrize(
    ("given", "flips", "noted"),
    [
        ({"head": "tcn"}, True, True),
        ({"head": "gru", "motion": "no"}, True, True),
        ({"head": "pool", "motion": "yes"}, True, True),
        ({"head": "pool"}, True, False),
        ({"head": "average"}, True, False),
        ({"head": "tcn"}, False, False),
    ],
)
def test_mirror_images_of_what_moves_are_noted(given, flips, noted):
    assert bool(mirror_notes(TrainOptions(sequences=True, **given), flips)) == noted
    assert mirror_notes(TrainOptions(), flips) == []


def test_door(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="holds no images"):
        Fitting(32, frames=2)(tmp_path / "empty")
    with pytest.raises(InputError, match="a folder of frames or a video file, got ndarray"):
        Fitting(32, frames=2)(picture(0))
    for fitting, item in ((Fitting(32, frames=2), "~nobody-here/clip"), (Fitting(32), "~nobody-here/a.png")):
        with pytest.raises(ImageError, match=r"~nobody-here/.*: no such"):
            fitting(item)
    with pytest.raises(ImageError, match="no such file"):
        Fitting(32)(tmp_path / "none.png")
