"""The contact sheet of a folder of explained images: what is on it, where, and that it is drawn from the files."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from samples import picture

from resight.errors import ImageError
from resight.explain.heat import Heat, add_heats
from resight.show import heat_sheet as module
from resight.show.heat import HeatStyle, draw_heat
from resight.show.heat_folder import HeatFolder
from resight.show.heat_sheet import heat_sheet


def heat(values, target=3, label="cirrus", part="", size=(30, 40), probability=0.9918):
    box = (0.0, 0.0, float(size[1]), float(size[0]))
    return Heat(np.asarray(values, np.float32), 2.0, probability, target, label, "gradcam", "l", size, box, part)


@pytest.fixture
def drawn(monkeypatch):
    """What was given to the contact sheet: (pictures, its other arguments)."""
    given = []

    def record(pictures, **named):
        given.append((list(pictures), named))
        return Image.new("RGB", (8, 8))

    monkeypatch.setattr(module, "sheet", record)
    return given


def folder_of(place, added, style=None):
    """Images with their heats, written: (rows of the manifest, path -> pixels)."""
    pixels = {}
    with HeatFolder(place, style, {"method": "gradcam", "model": "m"}) as folder:
        for path, heats, image, *frames in added:
            folder.add(path, heats, image, frames=frames[0] if frames else ())
            pixels[path] = image
        rows = folder.manifest()["images"]
    return rows, pixels.__getitem__


def words(pictures):
    return [(one.caption, one.note) for one in pictures]


def test_the_image_then_a_picture_of_each_class(tmp_path, drawn):
    heats = [heat([[1, 2], [-1, 0]]), heat([[4, 0], [0, 1]], 5, "n02123045 tabby", probability=0.0042)]
    images = [picture(n, 30, 40) for n in range(2)]
    rows, pixels = folder_of(tmp_path / "out", [(f"in/{n}.jpg", heats, images[n]) for n in range(2)])
    made = heat_sheet(rows, tmp_path / "out", pixels, HeatStyle(), "title")
    ((tiles, named),) = drawn
    assert (made.images, made.classes, made.most) == (2, 2, 2)
    assert (named["columns"], named["title"]) == (3, "title")
    assert [one.caption for one in tiles] == ["0.jpg", "0.992 cirrus", "0.004 tabby",
                                              "1.jpg", "0.992 cirrus", "0.004 tabby"]  # fmt: skip
    assert np.array_equal(tiles[3].image, images[1])
    for tile, own in zip(tiles[4:], heats, strict=True):
        assert np.array_equal(tile.image, draw_heat(own, images[1], "overlay"))
        assert np.array_equal(tile.image, Image.open(tmp_path / "out" / f"1_{own.target}_{own.label}.png".replace(
            " ", "-")))  # as the picture of the folder  # fmt: skip


def test_scale_and_colours_are_those_of_the_pictures(tmp_path, drawn):
    style = HeatStyle(("gray",), "image", signed=True, colors="bwr")
    heats = [heat([[1, -2]]), heat([[4, 0]], 5, "b")]
    rows, pixels = folder_of(tmp_path / "out", [("a.jpg", heats, picture(0, 30, 40))], style)
    heat_sheet(rows, tmp_path / "out", pixels, style)
    ((tiles, _),) = drawn
    for tile, own in zip(tiles[1:], heats, strict=True):
        wanted = draw_heat(own, picture(0, 30, 40), "overlay", largest=8.0, signed=True, colors="bwr")
        assert np.array_equal(tile.image, wanted)


def test_a_large_image_is_reduced_and_its_map_with_it(tmp_path, drawn):
    wide = heat([[1, 0]], size=(300, 600))
    rows, pixels = folder_of(tmp_path / "out", [("a.jpg", [wide], picture(0, 300, 600))])
    heat_sheet(rows, tmp_path / "out", pixels, HeatStyle())
    ((tiles, _),) = drawn
    assert [one.image.shape for one in tiles] == [(100, 200, 3)] * 2


def test_of_branches_their_sum(tmp_path, drawn):
    both = add_heats((heat([[3, 0]], part="rgb"), heat([[1, 1]], part="sift")))
    rows, pixels = folder_of(tmp_path / "out", [("a.jpg", [both], picture(0, 30, 40))])
    heat_sheet(rows, tmp_path / "out", pixels, HeatStyle())
    ((tiles, _),) = drawn
    assert len(tiles) == 2
    assert np.array_equal(tiles[1].image, Image.open(tmp_path / "out" / "a_3_cirrus.png"))


def test_only_so_many_images_and_classes(tmp_path, drawn):
    heats = [heat([[1.0]], number, f"c{number}") for number in range(12)]
    rows, pixels = folder_of(tmp_path / "out", [(f"{n}.jpg", heats, picture(0, 30, 40)) for n in range(3)])
    made = heat_sheet(rows * 10, tmp_path / "out", pixels, HeatStyle())
    assert (made.images, made.classes, made.most) == (24, 8, 12)
    ((tiles, named),) = drawn
    assert (len(tiles), named["columns"]) == (24 * 9, 9)


def clip(count, classes=1, branches=("",), size=20):
    frames = np.stack([np.full((size, size, 3), 10 * n, np.uint8) for n in range(count)])
    heats = [
        add_heats(tuple(
            heat([[n + 1.0]], target, f"c{target}", f"{branch} frame {n + 1}".strip(), (size, size))
            for branch in branches for n in range(count)
        ))
        for target in range(classes)
    ]  # fmt: skip
    return heats, frames


def test_frames_of_a_sequence_evenly_with_their_numbers(tmp_path, drawn):
    heats, frames = clip(16, 2)
    files = [{"file": f"f{n:02d}.png"} for n in range(16)]
    rows, pixels = folder_of(tmp_path / "out", [("clips/fall", heats, frames, files)])
    heat_sheet(rows, tmp_path / "out", pixels, HeatStyle())
    ((tiles, named),) = drawn
    assert (named["columns"], len(tiles)) == (8, 24)
    chosen = [1, 3, 5, 7, 9, 11, 13, 15]
    notes = [f"frame {n + 1}: f{n:02d}.png" for n in chosen]
    assert [one.note for one in tiles] == notes * 3
    assert [one.caption for one in tiles] == ["fall", *[" "] * 7, *["0.992 c0"] * 8, *["0.992 c1"] * 8]
    for place, n in enumerate(chosen):
        assert np.array_equal(tiles[place].image, frames[n])
        shown = Image.open(tmp_path / "out" / f"fall_1_c1_frame-{n + 1}.png")
        assert np.array_equal(tiles[16 + place].image, shown)


def test_branches_of_a_sequence_have_lines_and_short_sequences_are_filled_up(tmp_path, drawn):
    long, short = clip(4, 1, ("rgb", "sift")), clip(1, 1, ("rgb", "sift"))
    rows, pixels = folder_of(tmp_path / "out", [("long", *long, [{"place": 7 * n + 1} for n in range(4)]),
                                                ("short", *short)])  # fmt: skip
    heat_sheet(rows, tmp_path / "out", pixels, HeatStyle())
    ((tiles, named),) = drawn
    assert (named["columns"], len(tiles)) == (4, 24)
    assert words(tiles[:5]) == [
        ("long", "frame 1: no. 1 of the video"), (" ", "frame 2: no. 8 of the video"),
        (" ", "frame 3: no. 15 of the video"), (" ", "frame 4: no. 22 of the video"),
        ("0.992 c0, rgb", "frame 1: no. 1 of the video"),
    ]  # fmt: skip
    assert tiles[8].caption == "0.992 c0, sift"
    assert [one.caption for one in tiles[12:]] == ["short", "", "", "", "0.992 c0, rgb", "", "", "", "0.992 c0, sift",
                                                  "", "", ""]  # fmt: skip
    assert tiles[12].note == "frame 1 of 1"


def test_a_sheet_of_many_sequences_is_bounded(tmp_path, drawn):
    heats, frames = clip(8, 3)
    rows, pixels = folder_of(tmp_path / "out", [("a", heats, frames)])
    made = heat_sheet(rows * 30, tmp_path / "out", pixels, HeatStyle())
    assert made.images == 15  # four lines of eight tiles each, 480 in all
    assert len(drawn[0][0]) == 480


def test_what_is_gone_is_a_grey_tile(tmp_path, drawn):
    images = [(f"{n}.jpg", [heat([[1.0, 2.0]])], picture(n, 30, 40)) for n in range(4)]
    rows, pixels = folder_of(tmp_path / "out", images)

    def some(path):
        if path == "0.jpg":
            raise ImageError(path, "no such file")
        return pixels(path)

    (tmp_path / "out" / "1_3_cirrus.npy").unlink()
    (tmp_path / "out" / "2_3_cirrus.npy").write_bytes(b"x")
    np.save(tmp_path / "out" / "3_3_cirrus.npy", np.zeros((3, 3), np.float32))
    heat_sheet(rows, tmp_path / "out", some, HeatStyle())
    ((tiles, _),) = drawn
    grey = [np.asarray(one.image)[0, 0].tolist() == [0xD8, 0xD8, 0xD5] for one in tiles]
    assert grey == [True, True, False, True, False, True, False, True]
    assert [one.caption for one in tiles][::2] == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]


def test_frames_that_are_others_now_are_grey(tmp_path, drawn):
    heats, frames = clip(3)
    rows, _ = folder_of(tmp_path / "out", [("a", heats, frames)])
    heat_sheet(rows, tmp_path / "out", lambda path: frames[:2], HeatStyle())
    ((tiles, _),) = drawn
    assert all(one.image.shape == (200, 200, 3) for one in tiles)


def test_the_folder_writes_it_and_says_so(tmp_path):
    with HeatFolder(tmp_path / "out", None, {"method": "cam", "model": "m"}) as folder:
        folder.add("sheet.jpg", [heat([[1.0]])], picture(0, 30, 40))
        made = folder.write_sheet(lambda path: picture(0, 30, 40))
        assert folder.manifest()["sheet"] == "sheet.png"
    assert np.array_equal(Image.open(tmp_path / "out" / "sheet.png"), made.picture)
    assert made.picture.width > 400
    with HeatFolder(tmp_path / "none") as folder:
        folder.skip("a.jpg", "no image")
        assert folder.write_sheet(lambda path: picture(0)) is None
    assert not (tmp_path / "none" / "sheet.png").exists()


def test_no_map_takes_its_name(tmp_path):
    with HeatFolder(tmp_path / "out") as folder:
        folder.add("sheet.png", [heat([[1.0]], -1, "_.png", probability=float("nan"))], picture(0, 30, 40))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["manifest.json", "sheet-2.npy", "sheet-2.png"]
