"""The code that the README and the notebook show is run as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image
from samples import picture

ROOT = Path(__file__).parents[1]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An own home with ~/Pictures in it, and a working folder with query.jpg."""
    (tmp_path / "Pictures" / "holiday").mkdir(parents=True)
    for number in range(24):
        folder = tmp_path / "Pictures" / ("holiday" if number % 2 else ".")
        Image.fromarray(picture(number)).save(folder / f"{number}.jpg")
        (tmp_path / "photos" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number)).save(tmp_path / "photos" / "ab"[number % 2] / f"{number}.jpg")
    (tmp_path / "new").mkdir()
    for folder in (tmp_path, tmp_path / "new"):
        Image.fromarray(picture(3)).save(folder / "query.jpg")
    Image.fromarray(picture(3)).crop((5, 5, 60, 50)).save(tmp_path / "logo.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def blocks(file: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", file.read_text(), re.MULTILINE | re.DOTALL)


def test_readme_python(home):
    names: dict[str, object] = {}
    code = blocks(ROOT / "README.md", "python")
    assert len(code) == 2
    for block in code:
        exec(compile(block, "README.md", "exec"), names)
    ranking, vectors = names["ranking"], names["vectors"]
    assert len(ranking) == 20  # type: ignore[arg-type]
    assert Path(ranking.paths[0]).name == "3.jpg"  # type: ignore[attr-defined]
    assert Image.open(home / "out.png").format == "PNG"
    assert vectors.shape == (2, 1280)  # type: ignore[attr-defined]


def test_readme_commands(home, capsys):
    from resight.cli import run

    text = (ROOT / "README.md").read_text()
    commands = re.findall(r"^resight (.*?)(?:\s+#.*)?$", text, re.MULTILINE)
    assert len(commands) >= 5
    for command in commands:
        words = command.replace("~", str(home)).split()
        if "--box" in words:
            words[words.index("--box") + 1] = "10,10,60,50"  # the README's query is a larger picture
        if words[0] == "evaluate":
            words += ["-k", "1"]
        assert run(words) == 0, (command, capsys.readouterr().err)
    assert (home / "out.html").is_file()


def test_every_link_in_the_documents_leads_somewhere():
    missing = []
    for file in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", file.read_text()):
            if not target.startswith("http") and not (file.parent / target).exists():
                missing.append(f"{file.name}: {target}")
    assert missing == []


@pytest.mark.slow
def test_quickstart_notebook(home):
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(ROOT / "examples" / "quickstart.ipynb", as_version=4)
    for cell in notebook.cells:
        assert not cell.get("outputs"), "the notebook is kept without outputs"
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(home)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("text/html" in output.get("data", {}) for output in shown)  # a ranking showed itself
