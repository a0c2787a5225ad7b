from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from samples import picture

from resight import InputError, WorkError
from resight.cli import run
from resight.demo import VARIANTS, crop, demonstrate, mix, packaged_photographs, relight, rotate, shrink


def test_the_packaged_photographs_are_there():
    found = packaged_photographs()
    assert len(found) == 21
    assert {"astronaut.png", "chelsea.png", "china.jpg"} <= {path.name for path in found}


def test_variants_are_what_they_say():
    image = Image.fromarray(picture(0, 200, 300))
    assert crop(image).size == (210, 140)
    assert np.array_equal(np.asarray(crop(image)), picture(0, 200, 300)[40:180, 75:285])
    turned = rotate(Image.new("RGB", (300, 200), (250, 250, 250)))
    assert np.asarray(turned).min() > 200  # no empty corner came in
    assert abs(turned.width / turned.height - 1.5) < 0.03
    assert np.asarray(relight(image)).mean() < np.asarray(image).mean() - 10
    assert shrink(image).size == (100, 66)
    assert mix(image).width < image.width


@pytest.mark.slow
def test_the_demonstration_finds_the_right_answers_and_goes_on_from_what_is_there(tmp_path, capsys):
    assert run(["demo", "--to", str(tmp_path / "demo")]) == 0
    out = capsys.readouterr().out
    assert "Right answer first: 21 of 21" in out
    assert "in the first 3: 21 of 21" in out
    assert "resight index ~/Pictures" in out
    folder = tmp_path / "demo" / "packaged"
    page = (folder / "report.html").read_text()
    assert "21 / 21" in page
    assert len(list((folder / "sheets").glob("*.png"))) == 21
    again = demonstrate(None, tmp_path / "demo")
    assert (again.report.encoded, again.report.unchanged, again.images) == (0, 105, 105)
    for trial in again.trials:
        assert not str(trial.ranking.query).startswith(str(folder / "variants"))
        assert sum(trial.right) <= len(VARIANTS) + 1


def test_own_photographs_with_a_bad_file_among_them(tmp_path, photos):
    (photos / "a" / "00-bad.jpg").write_bytes(b"no image")
    result = demonstrate(photos, tmp_path / "demo", k=5)
    assert len(result.trials) == 12
    assert len(result.skipped) == 1
    assert "00-bad.jpg" in result.skipped[0]
    assert result.report.failed == 1
    for trial in result.trials:
        rank = trial.first_right
        assert rank is None or trial.right[rank - 1]
    Image.fromarray(picture(90)).save(photos / "a" / "0.jpg")  # a new photograph under an old name
    again = demonstrate(photos, tmp_path / "demo", k=5)
    assert again.report.updated == 1 + len(VARIANTS)


def test_nothing_to_show(tmp_path):
    with pytest.raises(InputError):
        demonstrate(tmp_path / "none", tmp_path / "demo")
    (tmp_path / "p").mkdir()
    with pytest.raises(InputError, match="no images"):
        demonstrate(tmp_path / "p", tmp_path / "demo")
    (tmp_path / "p" / "a.jpg").write_bytes(b"no image")
    with pytest.raises(WorkError, match="none of the photographs"):
        demonstrate(tmp_path / "p", tmp_path / "demo")


def test_slivers_are_skipped_with_a_reason(tmp_path, photos):
    Image.new("RGB", (1, 1)).save(photos / "a" / "dot.png")
    Image.new("RGB", (900, 2)).save(photos / "a" / "line.png")
    result = demonstrate(photos, tmp_path / "demo", k=3)
    assert len(result.skipped) == 2
    assert all("too small" in reason for reason in result.skipped)
