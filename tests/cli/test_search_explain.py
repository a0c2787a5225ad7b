"""`resight search --explain`."""

from __future__ import annotations

import json
import re

import pytest
from PIL import Image
from samples import picture

from resight.cli import run

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def call(capsys):
    """Run a command in this process: (exit code, standard output, standard error)."""

    def run_it(*words):
        code = run([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return run_it


@pytest.fixture
def indexed(tmp_path, photos, call):
    assert call("index", photos, "--to", tmp_path / "c.resight", "--descriptor", "spoc", "--size", "64")[0] == 0
    return tmp_path / "c.resight"


def test_page_and_sheet_show_both_sides(indexed, photos, call, tmp_path):
    page, sheet = tmp_path / "out.html", tmp_path / "out.png"
    words = ("search", photos / "b" / "7.png", "--in", indexed, "-k", 3, "--html", page, "--sheet", sheet)
    plain = call(*words)
    assert (page.read_text().count("<img"), plain[0]) == (4, 0)
    narrow = Image.open(sheet).width
    code, out, err = call(*words, "--explain")
    assert (code, err) == (0, "")
    assert out == plain[1]
    text = page.read_text()
    assert "Where they are alike" in text
    assert text.count("<img") == 7
    assert Image.open(sheet).width > narrow


def test_a_lost_file_is_left_out_and_the_rest_explained(indexed, photos, call, tmp_path):
    (photos / "b" / "8.png").unlink()
    page = tmp_path / "out.html"
    code, _, _ = call("search", photos / "b" / "7.png", "--in", indexed, "-k", 12, "--html", page, "--explain")
    assert code == 0
    text = page.read_text()
    assert text.count("<img") == 1 + 11 + 11
    assert re.search(r"The file of result \d+ cannot be read", text)


def test_two_queries_have_two_sheets(indexed, photos, call, tmp_path):
    words = ("--in", indexed, "-k", 2, "--sheet", tmp_path / "s.jpg", "--explain", "--json")
    code, out, _ = call("search", photos / "a" / "0.jpg", photos / "a" / "1.jpg", *words)
    assert code == 0
    assert len(json.loads(out)["queries"]) == 2
    assert (tmp_path / "s-1.jpg").is_file()
    assert (tmp_path / "s-2.jpg").is_file()


def test_doors(indexed, photos, call, tmp_path):
    code, _, err = call("search", photos / "a" / "0.jpg", "--in", indexed, "--explain")
    assert code == 2
    assert "add --html out.html or --sheet out.png" in err
    many = tmp_path / "many"
    many.mkdir()
    for number in range(11):
        Image.fromarray(picture(number)).save(many / f"{number}.png")
    code, _, err = call("search", many, "--in", indexed, "--explain", "--html", tmp_path / "o.html")
    assert code == 2
    assert "at most 10 queries at a time, got 11" in err
    assert not (tmp_path / "o.html").exists()
