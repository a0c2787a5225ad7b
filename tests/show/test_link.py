import os
import re
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.show.link import link


@pytest.mark.parametrize(
    ("href", "address"),
    [
        ("/photos/a.jpg", "file:///photos/a.jpg"),
        (Path("/photos/a b#c?.jpg"), "file:///photos/a%20b%23c%3F.jpg"),
        ("/photos/../etc/x", "file:///etc/x"),
        ('/a"><script>.jpg', "file:///a%22%3E%3Cscript%3E.jpg"),
        (os.fsdecode(b"/caf\xe9.jpg"), "file:///caf%E9.jpg"),
        ("https://example.org/a b?q='1'&r=é", "https://example.org/a%20b?q=%271%27&r=%C3%A9"),
        ("HTTP://example.org/", "http://example.org/"),
        ("https://example.org/a%20b", "https://example.org/a%20b"),
    ],
)
def test_paths_and_web_addresses(href, address):
    assert link(href) == address


def test_relative_path_is_made_absolute():
    assert link("a:b.jpg".replace(":", "-")) == (Path.cwd() / "a-b.jpg").as_uri()


@pytest.mark.parametrize(
    "href",
    [
        None, "", "javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:alert(1)", "java\nscript:alert(1)",
        "\x01javascript:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "ftp://example.org/a",
        "https://", "http:/relative", "http:", "https://[bad", "/a\0b", "/half\ud83d",
    ],
)  # fmt: skip
def test_everything_else_is_dropped(href):
    assert link(href) is None


@given(st.text(st.characters()) | st.binary().map(os.fsdecode))
def test_what_comes_back_is_safe_in_an_attribute(href):
    address = link(href)
    if address is not None:
        assert re.fullmatch(r"(file|https?)://[A-Za-z0-9%/:?#\[\]@!$&()*+,;=~._-]*", address)


@given(st.binary(min_size=1).filter(lambda name: not set(name) & set(b"/\0") and name not in (b".", b"..")))
def test_file_links_lead_back_to_the_file(name):
    assert unquote_to_bytes(link(os.fsdecode(b"/folder/" + name)).removeprefix("file://")) == b"/folder/" + name
