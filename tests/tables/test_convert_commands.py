"""The commands for tables and folders say what they wrote, and pass errors on."""

import numpy as np
import pytest
from PIL import Image

from resight.cli import convert as door
from resight.errors import InputError
from resight.tables import Scalar, Schema, open_table, open_writer


@pytest.fixture
def tables(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        with open_writer(f"{name}.parquet", Schema((Scalar(name),), ("path",), relation=name)) as writer:
            writer.write({"path": ["x", "y"], name: np.arange(2)})


def test_tables(tables, tmp_path, capsys):
    assert door.convert(tmp_path / "a.parquet", tmp_path / "a.csv") == 0
    assert door.merge(tmp_path / "a.parquet", tmp_path / "b.parquet", out=tmp_path / "m.arff") == 0
    assert door.concat((tmp_path / "a.parquet", tmp_path / "a.parquet"), out=tmp_path / "c.parquet") == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [
        f"wrote {tmp_path / name}: {rows} rows" for name, rows in (("a.csv", 2), ("m.arff", 2), ("c.parquet", 4))
    ]
    assert open_table("m.arff").schema.attributes == ("a", "b")
    with pytest.raises(InputError):
        door.concat((tmp_path / "a.parquet", tmp_path / "b.parquet"), out=tmp_path / "d.parquet")


def test_folders(tmp_path, capsys):
    (tmp_path / "set" / "cats").mkdir(parents=True)
    Image.new("RGB", (2, 2)).save(tmp_path / "set" / "cats" / "tom.png")
    assert door.map_folder(tmp_path / "set", out=tmp_path / "map.csv") == 0
    assert door.group_folder(tmp_path / "set", 5, out=tmp_path / "groups") == 0
    assert (tmp_path / "map.csv").read_text() == "path,class\nset/cats/tom.png,cats\n"
    assert (tmp_path / "groups" / "1" / "cats" / "tom.png").is_file()
    assert capsys.readouterr().out == (
        f"wrote {tmp_path / 'map.csv'}: 1 images\nmade {tmp_path / 'groups'}: 1 folder of up to 5 images\n"
    )
