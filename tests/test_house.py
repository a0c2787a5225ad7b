"""The house rules that a program can see: imports point one way, importing is cheap, no prints, no stray asserts."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import resight

PACKAGE = Path(resight.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# A room may import from itself and from those before it; rooms on one line are neighbours that may not meet.
ORDER = [
    ("errors", "_version"), ("choices",), ("images",), ("models",), ("features",), ("tables", "search", "match"),
    ("measure",), ("train",), ("explain",), ("show",), ("demo",), ("cli", "web"),
]  # fmt: skip
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}

# The one exception: a result object shows itself, so its display methods may open the show room when they are called.
DISPLAY = {"sheet", "html", "save", "plot", "_repr_html_", "_repr_png_", "_pictures"}


def room_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imports_of(tree: ast.AST, function: str = "", typing: bool = False):
    """(module, enclosing function, only for types) of every import of resight."""
    for node in ast.iter_child_nodes(tree):
        inside = node.name if isinstance(node, ast.FunctionDef) else function
        types = typing or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("resight"):
            if node.module == "resight":
                yield from ((f"resight.{alias.name}", inside, types) for alias in node.names)
            else:
                yield node.module, inside, types
        elif isinstance(node, ast.Import):
            yield from ((a.name, inside, types) for a in node.names if a.name.startswith("resight"))
        yield from imports_of(node, inside, types)


def breaches(file: Path, source: str) -> list[str]:
    room, found = room_of(file), []
    for module, function, types in imports_of(ast.parse(source)):
        other = module.split(".")[1] if "." in module else ""
        if other not in LEVEL:
            found.append(f"{file.name} imports {module}, a room that ORDER does not know")
        elif other != room and LEVEL[other] >= LEVEL[room] and not types:
            if other == "show" and function in DISPLAY:
                continue
            found.append(f"{room}/{file.name} imports {module}, which comes later")
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_imports_point_one_way(file):
    if room_of(file) in ("__init__", "__main__"):
        return
    assert room_of(file) in LEVEL, f"{file} is in a room that ORDER does not know"
    assert breaches(file, file.read_text()) == []


def test_the_import_test_notices():
    file = PACKAGE / "images" / "made_up.py"
    assert breaches(file, "from resight.search import Collection")
    assert breaches(file, "def f():\n    from resight.show import sheet")
    assert breaches(file, "import resight.nowhere")
    assert not breaches(file, "from resight.errors import InputError")
    assert not breaches(
        PACKAGE / "search" / "x.py", "class A:\n    def sheet(self):\n        from resight.show import s"
    )


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_importing_resight_loads_nothing_heavy():
    heavy = "torch timm torchvision faiss skimage sklearn scipy cv2 h5py PIL jinja2 rich cyclopts numpy".split()
    loaded = python(f"import sys, resight; print([m for m in {heavy} if m in sys.modules])")
    assert loaded == "[]"


def test_help_loads_nothing_heavy():
    heavy = "torch timm torchvision faiss skimage sklearn scipy cv2 h5py lightning tensorboard av onnx".split()
    for words in (
        "--help",
        "index --help",
        "search --help",
        "evaluate --help",
        "demo --help",
        "sync --help",
        "compare --help",
        "datasets --help",
        "table --help",
        "train --help",
        "train classify --help",
        "train study --help",
        "train finish --help",
        "test --help",
        "classify --help",
        "svm --help",
        "export --help",
        "explain --help",
        "match --help",
        "bench match --help",
        "calibrate --help",
        "train locate --help",
        "train embed --help",
        "split --help",
    ):
        code = (
            "import sys, io, contextlib\nfrom resight.cli import run\n"
            f"with contextlib.redirect_stdout(io.StringIO()):\n    run({words.split()})\n"
            f"print([m for m in {heavy} if m in sys.modules])"
        )
        assert python(code) == "[]", words


@pytest.mark.parametrize(
    "name", ["Collection", "Encoder", "EncoderConfig", "Ranking", "Heat", "Match", "read_image", "InputError"]
)
def test_public_names_load_on_first_use(name):
    assert name in resight.__all__
    assert getattr(resight, name).__name__ == name
    assert getattr(resight, name).__doc__


def test_no_asserts_swallowed_errors_or_prints_in_the_library():
    found = []
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Assert):
                found.append(f"{file}:{node.lineno} assert")
            if isinstance(node, ast.ExceptHandler) and [type(n) for n in node.body] == [ast.Pass]:
                found.append(f"{file}:{node.lineno} swallowed exception")
            is_print = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
            if is_print and room_of(file) != "cli":
                found.append(f"{file}:{node.lineno} print")
    assert found == []


def test_every_public_function_says_what_it_returns():
    silent = []
    for file in FILES:
        tree = ast.parse(file.read_text())
        bodies = [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]
        for body in bodies:
            for node in body.body:
                public = isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
                if public and not ast.get_docstring(node):
                    silent.append(f"{file.relative_to(PACKAGE)}:{node.lineno} {node.name}")
    assert silent == []
