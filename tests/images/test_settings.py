"""Settings of three formats say the same; what is none of them is told in one line."""

from __future__ import annotations

import pytest

from resight.errors import InputError
from resight.images.settings import LIMIT, read_settings

SAME = {
    "a.toml": 'name = "x"\nsizes = [1, 2.5]\n[deep]\nyes = true\n',
    "a.yaml": "name: x\nsizes: [1, 2.5]\ndeep:\n  yes: true\n".replace("yes:", '"yes":'),
    "a.yml": '{name: x, sizes: [1, 2.5], deep: {"yes": true}}',
    "a.JSON": '\ufeff{"name": "x", "sizes": [1, 2.5], "deep": {"yes": true}}',
}


@pytest.mark.parametrize("name", SAME)
def test_formats_say_the_same(tmp_path, name):
    (tmp_path / name).write_text(SAME[name], encoding="utf-8")
    assert read_settings(tmp_path / name) == {"name": "x", "sizes": [1, 2.5], "deep": {"yes": True}}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.ini", b"", "expected a .toml, .yaml or .json file"),
        ("a.json", b"[1, 2]", "expected keys and values, got list"),
        ("a.yaml", b"", "expected keys and values, got NoneType"),
        ("a.yaml", b"!!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("a.toml", b"a = \n", "cannot be read: Invalid value"),
        ("a.json", b"\xff\xfe", "cannot be read: 'utf-8' codec"),
        ("a.json", b"[" * 100_000, "nested too deep"),
        ("a.toml", b"#" * (LIMIT + 1), "expected at most 1,048,576 bytes"),
    ],
)
def test_other_files(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_settings(tmp_path / name)
    assert said in str(caught.value) and str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_no_file(tmp_path):
    with pytest.raises(InputError, match="expected a file, got none"):
        read_settings(tmp_path / "a.toml")
