"""The picture of a calibration."""

from __future__ import annotations

import io

from calibrating_samples import drawn_cases
from matplotlib.figure import Figure
from PIL import Image

from resight.measure.calibrating import calibrate
from resight.show import calibrating


def test_what_is_drawn(monkeypatch):
    found, figures = calibrate(drawn_cases(90)), []
    monkeypatch.setattr(calibrating, "encode_png", lambda figure: figures.append(figure) or b"")
    calibrating.calibration_picture(found, "boards")
    assert isinstance(figures[0], Figure)
    left, right = figures[0].axes
    points = [
        (float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in left.lines if line.get_marker() == "o"
    ]
    own = found.reliability
    assert points == [(x, y) for x, y, n in zip(own.confidence, own.accuracy, own.counts, strict=True) if n]
    counts = sorted(int(text.get_text().rpartition("(")[2].rstrip(")")) for text in right.get_legend().get_texts()[:-1]
                    if "(" in text.get_text())  # fmt: skip
    there = found.present
    assert sum(counts) == 90 and int((~there).sum()) in counts and int((there & found.right).sum()) in counts
    assert any(list(line.get_xdata()) == [found.chosen.threshold] * 2 for line in right.lines)


def test_it_is_a_png():
    picture = calibrating.calibration_picture(calibrate(drawn_cases(60)), "a $name$ with\nlines")
    assert Image.open(io.BytesIO(picture)).format == "PNG"
