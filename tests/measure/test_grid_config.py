"""A grid's file: what is read from it, and how it is refused."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.measure.grid_config import Cell, Grid, read_grid

TOML = """
images = ["photos", "/data/more"]
labels = "csv:labels.csv"
whiten_from = ["others/*.jpg"]
descriptors = ["GeM: p=3", "cam"]
whitening = [0, 8]
part_whitening = [0, 4]
then = [[], "aqe:k=5", ["cam-regions:top=50", "aqe"]]
ks = [1, 5]
[encoder]
size = 64
weights = "mine.pth"
"""
YAML = """
images: [photos, /data/more]
labels: csv:labels.csv
whiten_from: [others/*.jpg]
descriptors: ["GeM: p=3", cam]
whitening: [0, 8]
part_whitening: [0, 4]
then: [[], "aqe:k=5", ["cam-regions:top=50", aqe]]
ks: [1, 5]
encoder: {size: 64, weights: mine.pth}
"""


def written(folder, text, name="grid.toml"):
    (folder / name).write_text(text)
    return folder / name


def test_toml_and_yaml_say_the_same_and_paths_are_relative_to_the_file(tmp_path):
    grid = read_grid(written(tmp_path, TOML))
    assert grid == read_grid(written(tmp_path, YAML, "grid.yaml"))
    assert grid.images == (f"{tmp_path}/photos", "/data/more")
    assert (grid.labels, grid.whiten_from) == (f"csv:{tmp_path}/labels.csv", (f"{tmp_path}/others/*.jpg",))
    assert (grid.out, grid.encoder.weights) == (f"{tmp_path}/table", f"{tmp_path}/mine.pth")
    assert grid.descriptors == ("gem", "cam") and grid.encoder.size == 64
    assert grid.then == ((), ("aqe:k=5",), ("cam-regions:top=50", "aqe"))
    assert read_grid(tmp_path / "grid.toml", out=tmp_path / "there").out == f"{tmp_path}/there"


def test_defaults(tmp_path):
    grid = read_grid(written(tmp_path, 'images = ["a"]\ndescriptors = ["spoc"]'))
    assert (grid.labels, grid.ks, grid.cells) == ("folder", (1, 10), (Cell("spoc", 0, 0, ()),))
    assert not grid.whitens


def test_cells_come_in_the_order_of_the_file_without_what_has_no_meaning():
    grid = Grid(
        ("a",), ("gem", "cam"), whiten_from=("b",), whitening=(0, 8), part_whitening=(0, 4),
        then=((), ("cam-online",)),
    )  # fmt: skip
    assert [(c.descriptor, c.part_whitening, c.whitening, c.then) for c in grid.cells] == [
        ("gem", 0, 0, ()), ("gem", 0, 8, ()),
        *product(["cam"], [0], [0, 8], [(), ("cam-online",)]),
        *product(["cam"], [4], [0], [(), ("cam-online",)]),
    ]  # fmt: skip


@given(
    st.lists(st.sampled_from(["gem", "mac", "rmac", "cam"]), min_size=1, unique=True),
    st.lists(st.integers(0, 9), min_size=1, unique=True),
    st.lists(st.integers(0, 9), min_size=1, unique=True),
)
def test_every_combination_with_a_meaning_comes_once(descriptors, whitening, parts):
    expected = []
    for name in descriptors:
        for part in parts:
            for dim in whitening:
                if part == 0 or (name in ("rmac", "cam") and dim <= part):
                    expected.append(Cell(name, part, dim, ()))
    choices = {"whiten_from": ("b",), "whitening": tuple(whitening), "part_whitening": tuple(parts)}
    if set(descriptors) - {cell.descriptor for cell in expected}:
        with pytest.raises(InputError, match=r"nothing is left to do for "):
            Grid(("a",), tuple(descriptors), **choices)
        return
    if set(whitening) - {cell.whitening for cell in expected}:
        with pytest.raises(InputError, match=r"is longer than all whitened parts"):
            Grid(("a",), tuple(descriptors), **choices)
        return
    grid = Grid(("a",), tuple(descriptors), **choices)
    assert list(grid.cells) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('imagse = ["a"]', "unknown key 'imagse', did you mean 'images'?"),
        ('descriptors = ["gme"]', "unknown descriptor 'gme', did you mean 'gem'?"),
        ('descriptors = ["gem", "gem:p=3"]', "descriptors has 'gem' twice"),
        ("descriptors = []", "descriptors is empty"),
        ('descriptors = "gem"', "descriptors must be a list, such as"),
        ("descriptors = [3]", "descriptors must be text, got 3"),
        ('then = [["aqee"]]', "unknown step 'aqee', did you mean 'aqe'?"),
        ('then = [["aqe:k=0"]]', "k of aqe must be"),
        ("then = [[[]]]", "then, a chain must be text, got list"),
        ('then = [[], "aqe", ["aqe"]]', "then has 'aqe' twice"),
        (f"then = [{['aqe'] * 21}]", "then: a chain has at most 20 steps, got 21"),
        ("whitening = [128]", "whitening needs whiten_from"),
        ("part_whitening = [16]", "whitening needs whiten_from"),
        ("whitening = [-1]", "whitening takes whole numbers of at least 0, got -1"),
        ("whitening = [1.5]", "whitening takes whole numbers, got 1.5"),
        ("whitening = [true]", "whitening takes whole numbers, got True"),
        ("ks = [0]", "ks takes whole numbers of at least 1, got 0"),
        ('allow_leak = "yes"', "allow_leak must be true or false, got 'yes'"),
        ('crop = "pixel"', "unknown crop 'pixel', did you mean 'pixels'?"),
        ('protocol = "oxfrd5k"\ntruth = "gt"', "unknown protocol 'oxfrd5k', did you mean 'oxford5k'?"),
        ('protocol = "oxford5k"', "protocol oxford5k needs truth = PATH"),
        ('protocol = "oxford5k"\ntruth = "gt"\nlabels = "folder"', "labels and protocol exclude each other"),
        ('truth = "gt"', "truth belongs to a protocol"),
        ("distractors = true", "distractors belongs to a protocol"),
        ("encoder = 3", "encoder must be a table"),
        ("[encoder]\nsizee = 3", "encoder: unknown encoder option 'sizee', did you mean 'size'?"),
        ("[encoder]\nsize = 3", "encoder: size must be 32..4096 pixels, got 3"),
        ('[encoder]\ndescriptor = "gem"', "encoder.descriptor: name it under descriptors"),
        ("images = ", "cannot be read: Invalid value"),
    ],
)
def test_doors(tmp_path, change, message):
    given_keys = {line.split(" =")[0] for line in change.splitlines()}
    base = {"images": 'images = ["a"]', "descriptors": 'descriptors = ["spoc"]'}
    text = "\n".join([*(line for key, line in base.items() if key not in given_keys), change])
    with pytest.raises(InputError) as caught:
        read_grid(written(tmp_path, text))
    said = str(caught.value)
    assert message in said and said.startswith(f"{tmp_path}/grid.toml: ") and "\n" not in said


def test_files_that_are_no_config(tmp_path):
    with pytest.raises(InputError, match=r"expected a [.]toml, [.]yaml or [.]json file"):
        read_grid(written(tmp_path, "", "grid.ini"))
    with pytest.raises(InputError, match="expected a file, got none"):
        read_grid(tmp_path / "nowhere.toml")
    with pytest.raises(InputError, match="expected a key 'images', such as"):
        read_grid(written(tmp_path, ""))
    with pytest.raises(InputError, match="expected keys and values, got list"):
        read_grid(written(tmp_path, "[1, 2]", "grid.yml"))
    with pytest.raises(InputError, match="at most 1,048,576 bytes"):
        read_grid(written(tmp_path, "#" * 2**20 + "##"))
    with pytest.raises(InputError, match=r"nested too deep|cannot be read"):
        read_grid(written(tmp_path, "images: " + "[" * 5000, "deep.yaml"))
    with pytest.raises(InputError, match="cannot be read"):  # YAML that would make Python objects
        read_grid(written(tmp_path, "images: !!python/object/apply:os.getcwd []", "evil.yaml"))


def test_a_grid_has_an_end():
    with pytest.raises(InputError, match="at most 10,000 cells, this one has 10,201"):
        Grid(("a",), ("spoc",), whiten_from=("b",), whitening=tuple(range(101)),
             then=tuple((f"aqe:k={k}",) for k in range(11, 111)) + ((),))  # fmt: skip


def test_learned_whitening():
    grid = Grid(("p",), ("spoc",), whiten_from=("o",), whitening=(0, 64, " Learned : 064"))
    assert grid.whitening == (0, 64, "learned:64")
    assert [(cell.dim, cell.how) for cell in grid.cells] == [(0, "pca"), (64, "pca"), (64, "learned")]
    for wrong in ("learned", "learned:0", "learned:-3", "pca:64", "learned:1.5", "64"):
        with pytest.raises(InputError, match='whitening takes whole numbers, or "learned:256"'):
            Grid(("p",), ("spoc",), whiten_from=("o",), whitening=(wrong,))
    with pytest.raises(InputError, match="whitening has 'learned:64' twice"):
        Grid(("p",), ("spoc",), whiten_from=("o",), whitening=("learned:64", "learned: 64"))
    with pytest.raises(InputError, match="whitening needs whiten_from"):
        Grid(("p",), ("spoc",), whitening=("learned:64",))
