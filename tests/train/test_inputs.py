import numpy as np
import pytest
import torch
from PIL import Image
from samples import picture

from resight.errors import ImageError, InputError
from resight.images.resize import fit
from resight.train.inputs import Fitting, make_fitting, pad_clips
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


def test_door(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="holds no images"):
        Fitting(32, frames=2)(tmp_path / "empty")
    with pytest.raises(InputError, match="a folder of frames or a video file, got ndarray"):
        Fitting(32, frames=2)(picture(0))
    with pytest.raises(ImageError, match="no such file"):
        Fitting(32)(tmp_path / "none.png")
