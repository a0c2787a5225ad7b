import base64
import hashlib
import io
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from resight.errors import InputError
from resight.show import Picture, Section, Table, inline, report

RED = np.full((256, 384, 3), (200, 0, 0), np.uint8)
HOSTILE = "\"><script>alert(1)</script>'{{7*7}}{% raw %}<img src=x onerror=alert(1)>&lt;\u202egpj.\n\x00" + os.fsdecode(
    b"\xff"
)
VOID = {"meta", "img", "br", "hr", "link"}
SHAPES = {"circle", "path", "rect"}


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, and the text outside the style sheet."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements, self.words, self.open, self.styles = [], [], [], []
        self.feed(source)
        self.close()
        assert self.open == [], "unclosed elements"

    def handle_starttag(self, tag, attributes):
        assert len({name for name, _ in attributes}) == len(attributes), f"repeated attribute on {tag}"
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        (self.styles if self.open and self.open[-1] == "style" else self.words).append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str, kind: str = "") -> list[dict]:
        return [a for t, a in self.elements if t == tag and (not kind or kind in (a.get("class") or "").split())]


def full(words="plain", picture=None):
    picture = picture or Picture(RED, words, words, box=(1, 2, 30, 40))
    section = Section(
        words, words, picture, (picture, picture), ((words, words),), Table((words, words), ((words, words),))
    )
    return report(words, [section], summary=[(words, words)], intro=words, next_steps=[(words, words)], footer=words)


def check_safe(source: str) -> Page:
    """No scripts, no handlers, nothing from elsewhere, and UTF-8."""
    source.encode("utf-8")
    page = Page(source)
    for tag, attributes in page.elements:
        assert tag not in {"script", "iframe", "object", "embed", "link", "base", "form"}
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name != "style"
            if name == "src":
                assert value.startswith("data:image/jpeg;base64,")
            if name == "href":
                assert value.startswith(("#", "file:///", "https://", "http://"))
    assert "url(" not in "".join(page.styles)
    assert "@import" not in "".join(page.styles)
    return page


def test_is_a_whole_accessible_page():
    source = full()
    page = check_safe(source)
    assert source.startswith("<!doctype html>")
    assert page.all("html") == [{"lang": "en"}]
    assert [tag for tag, _ in page.elements if tag in ("h1", "h2")] == ["h1", "h2", "h2"]
    assert len(page.all("main")) == 1
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
    assert all(image["alt"] for image in page.all("img"))
    identifiers = [a["id"] for _, a in page.elements if "id" in a]
    assert len(identifiers) == len(set(identifiers))
    assert {a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a} <= set(identifiers)
    assert "prefers-color-scheme:dark" in "".join(page.styles)


def test_policy_allows_its_own_style_sheet_and_nothing_else():
    page = check_safe(full())
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv"))
    digest = base64.b64encode(hashlib.sha256("".join(page.styles).encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def test_images_are_inside_at_the_right_size():
    page = check_safe(report("x", [Section("s", query=Picture(RED), pictures=(Picture(RED), Picture(RED[:8, :12])))]))
    sizes = []
    for image in page.all("img"):
        decoded = Image.open(io.BytesIO(base64.b64decode(image["src"].split(",")[1], validate=True)))
        assert decoded.size == (int(image["width"]), int(image["height"]))
        sizes.append(decoded.size)
    assert sizes == [(384, 256), (320, 213), (12, 8)]


def test_hostile_words_stay_words():
    plain, page = check_safe(full()), check_safe(full(HOSTILE))
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain.elements]
    shown = r"""<script>alert(1)</script>'{{7*7}}{% raw %}<img src=x onerror=alert(1)>&lt;\u202egpj."""
    assert shown in page.text
    assert "\u202e" not in page.text
    assert r"\x00\xff" in page.text


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters()) | st.binary().map(os.fsdecode))
def test_any_words_stay_words(words):
    tiny = Picture(RED[:2, :2], words, words, href=words)
    check_safe(full(words, tiny))
    check_safe(inline([tiny, tiny], words))


def test_ranking_has_numbers_scores_bars_and_marks():
    pictures = (
        Picture(RED, "0.912", "a.jpg", "right"), Picture(RED, "0.5", "b.jpg", "wrong"), Picture(RED, "-0.1", "c.jpg"),
    )  # fmt: skip
    page = check_safe(report("x", [Section("s", pictures=pictures)]))
    assert "1 0.912 a.jpg 2 0.5 b.jpg 3 -0.1 c.jpg" in page.text
    assert [bar["width"] for bar in page.all("rect") if "class" not in bar] == ["91.2", "50.0", "0.0"]
    assert [a["alt"] for a in page.all("img")] == [
        "Result 1, a.jpg, 0.912, right", "Result 2, b.jpg, 0.5, wrong", "Result 3, c.jpg, -0.1",
    ]  # fmt: skip
    assert len(page.all("figure", "rs-right")) == len(page.all("figure", "rs-wrong")) == 1
    assert len(page.all("svg", "rs-glyph")) == 2
    assert len(page.all("ol", "rs-grid")) == 1


def test_bars_are_shares_of_the_largest_when_scores_exceed_one():
    pictures = tuple(Picture(RED, caption) for caption in ("80", "20", "0"))
    page = check_safe(report("x", [Section("s", pictures=pictures)]))
    assert [bar["width"] for bar in page.all("rect") if "class" not in bar] == ["100.0", "25.0", "0.0"]


@pytest.mark.parametrize("captions", [("0.9", "original"), ("nan", "1"), ("1e999", "1"), ("", "1")])
def test_no_bars_unless_all_captions_are_numbers(captions):
    page = check_safe(report("x", [Section("s", pictures=tuple(Picture(RED, caption) for caption in captions))]))
    assert page.all("svg", "rs-bar") == []


def test_unranked_pictures_have_no_numbers():
    page = check_safe(report("x", [Section("s", pictures=(Picture(RED, "original"),), ranked=False)]))
    assert page.text == "x x s original"
    assert page.all("ol") == []
    assert page.all("img")[0]["alt"] == "Picture, original"


def test_query_is_tagged_once_with_its_box_drawn():
    query = Picture(np.zeros((100, 100, 3), np.uint8), "query", "q.jpg", box=(20, 20, 80, 80))
    page = check_safe(report("x", [Section("s", query=query)]))
    assert page.text == "x x s query q.jpg"
    assert page.all("img")[0]["alt"] == "Query, q.jpg, box drawn"
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(page.all("img")[0]["src"].split(",")[1]))))
    assert pixels[50, 20:24, 0].max() > 150
    assert pixels[50, 40:60].max() < 30


def test_unreadable_image_shows_the_reason():
    page = check_safe(report("x", [Section("s", pictures=(Picture("/no/such.jpg", "0.5", "such.jpg"), Picture(None)))]))
    assert page.all("img") == []
    assert "Result 1, such.jpg, 0.5: no such file" in page.text
    assert "Result 2: no image" in page.text


def test_long_names_are_elided_with_the_whole_in_the_title():
    name = "a" * 50 + "-0001.jpg"
    page = check_safe(report("x", [Section("s", pictures=(Picture(RED, note=name),))]))
    assert page.all("div", "rs-name")[0]["title"] == name
    assert re.search(r" a{22}…a{12}-0001\.jpg", page.text)
    huge = report("x", [Section("s", pictures=(Picture(None, note="n" * 1_000_000),))])
    assert len(huge) < 20_000


def test_links():
    pictures = tuple(
        Picture(RED, href=href) for href in ("/a b.jpg", "javascript:alert(1)", "https://example.org/", None)
    )
    page = check_safe(report("x", [Section("s", pictures=pictures)]))
    assert [a["href"] for a in page.all("a")] == ["file:///a%20b.jpg", "https://example.org/"]
    assert {a["rel"] for a in page.all("a")} == {"noopener noreferrer"}


def test_summary_facts_and_next_steps():
    source = report(
        "x", [Section("s", "one\ntwo\n\nthree", facts=(("AP", "0.884"),))], summary=[("23 / 24", "right answer first")],
        next_steps=[("Search:", "resight search a \\\n  --top 3\n")],
    )  # fmt: skip
    page = check_safe(source)
    assert "right answer first 23 / 24" in page.text
    assert "<p>one two</p>\n<p>three</p>" in source
    assert "AP 0.884" in page.text
    assert '<pre tabindex="0"><code>resight search a \\\n  --top 3</code></pre>' in source


def test_contents_only_for_a_handful_of_sections():
    for count, links in ((2, 0), (3, 3), (40, 40), (41, 0)):
        assert len(check_safe(report("x", [Section(f"s{n}") for n in range(count)])).all("a")) == links


def test_table_sets_numbers_flush_right():
    table = Table(("class", "mAP", "worst"), (("africa", "0.784", "17.jpg"), ("beach", "-", "-")))
    assert table.aligned == (False, True, False)
    page = check_safe(report("x", [Section("s", table=table)]))
    assert "class mAP worst africa 0.784 17.jpg beach - -" in page.text
    assert len(page.all("td", "rs-number")) == 2
    with pytest.raises(InputError, match="expected 2 cells in each row, row 1 has 3"):
        Table(("a", "b"), (("1", "2"), ("1", "2", "3")))


def test_inline_is_a_fragment_with_the_query_apart():
    pictures = [Picture(RED, "0.9", "a.jpg"), Picture(RED, "", "q.jpg", "query"), Picture(RED, "0.8", "b.jpg")]
    source = inline(pictures, "q.jpg")
    page = check_safe(source)
    assert source.startswith('<div class="rs rs-inline">')
    assert page.text == "q.jpg query q.jpg 1 0.9 a.jpg 2 0.8 b.jpg"
    assert not page.all("html") + page.all("meta") + page.all("h1")
    rules = re.sub(r"@media[^{]*\{", "", "".join(page.styles))
    assert all(part.strip().startswith(".rs") for rule in re.findall(r"([^{}]+)\{", rules) for part in rule.split(","))


def test_same_input_gives_the_same_page():
    assert full() == full()


def test_import_is_light():
    code = "import sys, resight.show; print([m for m in ('torch', 'jinja2', 'PIL', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_photographs(real_images):
    folder = real_images("corel1k")
    pictures = tuple(Picture(folder / f"{n}.jpg", "0.9", f"{n}.jpg", href=folder / f"{n}.jpg") for n in (400, 733))
    page = check_safe(report("x", [Section("s", pictures=pictures)]))
    assert [(i["width"], i["height"]) for i in page.all("img")] == [("320", "213"), ("213", "320")]
    assert page.all("a")[0]["href"] == (folder / "400.jpg").as_uri()
