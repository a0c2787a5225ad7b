"""Writing and reading a feature table in each format, against numpy's text, liac-arff and, if it is there, pandas.

    python benchmarks/tables.py [--rows 1000] [--dim 2048] [--rounds 5]

Everything runs in one process, in turn; medians. The table is float32 numbers in [0, 1), which do not compress by luck.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from _common import interleaved, machine, peak_memory_mb

from resight.tables import Schema, Vector, open_table, open_writer

SUFFIXES = (".npy", ".parquet", ".csv", ".arff")


def write(path: Path, schema: Schema, batch: pa.RecordBatch) -> None:
    with open_writer(path, schema) as writer:
        writer.write(batch)


def read(path: Path) -> int:
    return sum(len(batch) for batch in open_table(path).batches())


def write_percent(path: Path, values: np.ndarray) -> None:
    """The plain way: a line of %.9g per row."""
    line = ",".join(["%.9g"] * values.shape[1]) + ",a\n"
    names = "".join(f"@ATTRIBUTE v_{i} numeric\n" for i in range(values.shape[1]))
    with path.open("w") as file:
        file.write(f"@RELATION r\n{names}@ATTRIBUTE class {{a}}\n@DATA\n")
        for row in values.tolist():
            file.write(line % tuple(row))


def peers(folder: Path, values: np.ndarray) -> dict[str, tuple[Callable[[], object], Path]]:
    """What else writes such a table here."""
    found: dict[str, tuple[Callable[[], object], Path]] = {
        "numpy.save": (partial(np.save, folder / "p.npy", values), folder / "p.npy"),
        "%.9g ARFF": (partial(write_percent, folder / "p9.arff", values), folder / "p9.arff"),
        "numpy.savetxt": (partial(np.savetxt, folder / "p.txt", values, "%.9g", ","), folder / "p.txt"),
    }
    if importlib.util.find_spec("arff"):
        found["liac-arff"] = (partial(write_liac, folder / "p.arff", values), folder / "p.arff")
    if importlib.util.find_spec("pandas"):
        import pandas

        frame = pandas.DataFrame(values)
        found["pandas CSV"] = (partial(frame.to_csv, folder / "p.csv", index=False), folder / "p.csv")
        found["pandas Parquet"] = (
            partial(frame.rename(columns=str).to_parquet, folder / "p.parquet"),
            folder / "p.parquet",
        )
    return found


def write_liac(path: Path, values: np.ndarray) -> None:
    import arff

    attributes = [(f"v_{i}", "NUMERIC") for i in range(values.shape[1])] + [("class", ["a"])]
    buffer = io.StringIO()
    arff.dump({"relation": "r", "attributes": attributes, "data": [[*row, "a"] for row in values.tolist()]}, buffer)
    path.write_text(buffer.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    values = np.random.default_rng(0).random((asked.rows, asked.dim), dtype=np.float32)
    schema = Schema((Vector("v", asked.dim),), ("path", "label"), ("a",))
    batch = schema.batch({"path": [f"{i}.jpg" for i in range(asked.rows)], "label": ["a"] * asked.rows, "v": values})
    print(f"{machine()}, pyarrow {pa.__version__}")
    print(f"{asked.rows:,} x {asked.dim:,} float32, median of {asked.rounds}\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        others = peers(folder, values)
        actions: dict[str, Callable[[], object]] = {}
        for suffix in SUFFIXES:
            actions[f"write {suffix}"] = partial(write, folder / f"t{suffix}", schema, batch)
            actions[f"read {suffix}"] = partial(read, folder / f"t{suffix}")
        actions |= {name: act for name, (act, _) in others.items()}
        times = interleaved(actions, asked.rounds)
        print("| format | write, ms | read, ms | MB |\n|---|---|---|---|")
        for suffix in SUFFIXES:
            size = (folder / f"t{suffix}").stat().st_size / 1e6
            took = [1e3 * times[f"{way} {suffix}"] for way in ("write", "read")]
            print(f"| {suffix} | {took[0]:.0f} | {took[1]:.0f} | {size:.1f} |")
        for name, (_, path) in others.items():
            print(f"| {name} | {1e3 * times[name]:.0f} | | {path.stat().st_size / 1e6:.1f} |")
        ours = times["write .arff"]
        print(f"\nARFF: {times['%.9g ARFF'] / ours:.1f} times as fast as %.9g lines", end="")
        print(f", {times['liac-arff'] / ours:.1f} times as fast as liac-arff" if "liac-arff" in times else "")
        ratio = times["write .npy"] / times["numpy.save"]
        print(f".npy: {ratio:.1f} times as long as numpy.save, which does not wait for the disk")
    print(f"peak memory {peak_memory_mb():.0f} MB")


if __name__ == "__main__":
    main()
