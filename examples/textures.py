"""Textures told apart by fractal features, by a network's, and by both: a table, a classifier, figures.

    python examples/textures.py FOLDER [--out OUT] [--blocks 4]      class folders; without FOLDER three of scikit-image

Accuracy is that of logistic regression on standardised features, C = 1 for all: nothing is tuned. Two ways to cut:
pairs: neighbours in the order of file names (2 k, 2 k + 1) are in one fold, 5 folds, 5 seeds.
blocks: each class in order of file names is cut into so many runs, and every fold tests one run of each class: where
pictures of one specimen are numbered one after the other, specimens are kept apart, which is the harder question.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import PredefinedSplit, StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from resight.tables import open_table
from resight.tables.extract import extract

FRACTAL, DEEP = "fractal", "layer:global_pool"
SEEDS = range(5)


def make_textures(folder: Path) -> Path:
    """Tiles of 128 x 128 of scikit-image's brick, grass and gravel: 3 x 16 images, for a first try."""
    from skimage import data

    for name in ("brick", "grass", "gravel"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        image = getattr(data, name)()
        for number in range(16):
            y, x = 128 * (number // 4), 128 * (number % 4)
            Image.fromarray(image[y : y + 128, x : x + 128]).save(folder / name / f"{number:02d}.png")
    return folder


def read(path: Path) -> tuple[dict[str, np.ndarray], np.ndarray, list[str]]:
    """Features by kind (n, d), labels (n,), paths of a table."""
    table = open_table(path).table()
    names = [column for column in table.column_names if column.startswith("layer:")]
    deep = np.array(table.column(names[0]).to_pylist(), np.float32)
    facts = {"path", "label", "split", "width", "height", "sha256", "status", "error"}
    classical = [column for column in table.column_names if column not in facts and column not in names]
    fractal = np.column_stack([table.column(name).to_numpy() for name in classical])
    return (
        {"fractal": fractal, "deep": deep, "both": np.hstack([fractal, deep])},
        np.array(table.column("label").to_pylist()), table.column("path").to_pylist(),
    )  # fmt: skip


def order_in_class(paths: list[str], labels: np.ndarray) -> np.ndarray:
    """Place of each image among those of its class, by the number in its file name."""
    keys = [[int(part) if part.isdigit() else part for part in re.split(r"(\d+)", Path(path).stem)] for path in paths]
    place = np.empty(len(paths), int)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        place[sorted(own, key=lambda i: keys[i])] = np.arange(len(own))
    return place


def classifier():
    return make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression(C=1.0, max_iter=5000))


def accuracy(
    features: np.ndarray, labels: np.ndarray, place: np.ndarray, blocks: int
) -> tuple[list[float], list[float], np.ndarray]:
    """Shares of right answers: per seed with pairs together, per block with blocks apart; answers of the latter."""
    _, numbers = np.unique(labels, return_inverse=True)
    pairs = numbers * 10_000 + place // 2
    by_seed = []
    for seed in SEEDS:
        cut = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        answers = cross_val_predict(classifier(), features, labels, groups=pairs, cv=cut)
        by_seed.append(float((answers == labels).mean()))
    sizes = np.bincount(numbers)[numbers]
    block = place * blocks // sizes
    answers = cross_val_predict(classifier(), features, labels, cv=PredefinedSplit(block))
    return by_seed, [float((answers == labels)[block == one].mean()) for one in range(blocks)], answers


def draw(answers: dict[str, np.ndarray], labels: np.ndarray, path: Path) -> None:
    """Confusion matrices side by side."""
    names = [name.removeprefix("KTH_").replace("_", " ") for name in np.unique(labels)]
    figure = Figure(figsize=(4.2 * len(answers), 4.4), layout="constrained")
    for axes, (kind, found) in zip(figure.subplots(1, len(answers), sharey=True), answers.items(), strict=True):
        ConfusionMatrixDisplay.from_predictions(
            labels, found, ax=axes, display_labels=names, normalize="true", values_format=".1f", cmap="Greys",
            colorbar=False, xticks_rotation=60, text_kw={"fontsize": 6},
        )  # fmt: skip
        for text in axes.texts:
            text.set_visible(float(text.get_text()) > 0)
        axes.set(xlabel="answer", ylabel="truth" if kind == "fractal" else "")
        axes.set_title(f"{kind}: {100 * (found == labels).mean():.1f} %")
        axes.tick_params(labelsize=7)
    figure.savefig(path, dpi=130, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--out", type=Path, default=Path("textures-out"))
    parser.add_argument("--blocks", type=int, default=4)
    given = parser.parse_args()
    given.out.mkdir(exist_ok=True)
    folder = given.folder or make_textures(given.out / "images")
    report = extract(folder, given.out / "features.parquet", f"{FRACTAL},{DEEP}")
    print(f"{report.rows} images, {report.columns} numbers each, {report.seconds:.1f} s")
    kinds, labels, paths = read(given.out / "features.parquet")
    place = order_in_class(paths, labels)
    print(f"{len(np.unique(labels))} classes; accuracy in %, mean and standard deviation")
    print(f"| features | numbers | pairs together, {len(SEEDS)} seeds | blocks apart, {given.blocks} blocks |")
    print("| --- | ---: | ---: | ---: |")
    answers = {}
    for kind, features in kinds.items():
        seeds, blocks, answers[kind] = accuracy(features, labels, place, given.blocks)
        cells = [f"{100 * np.mean(one):.1f} ± {100 * np.std(one, ddof=1):.1f}" for one in (seeds, blocks)]
        print(f"| {kind} | {features.shape[1]:,} | {cells[0]} | {cells[1]} |")
    draw(answers, labels, given.out / "confusion.png")
    print(f"wrote {given.out / 'features.parquet'} and {given.out / 'confusion.png'}")


if __name__ == "__main__":
    main()
