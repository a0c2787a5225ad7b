"""`resight table`: a grid of retrieval experiments."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resight.measure.grid_config import Grid
    from resight.measure.grid_inputs import Inputs
    from resight.measure.grid_table import Line


def table(config: Path, /, *, out: Path | None = None) -> int:
    """Measure a grid of descriptors, whitenings and steps, and write one table.

    Run it again to go on after an interruption, or after a change of the file or the images: only what is new is
    computed. Everything in the file is checked before anything long begins. Exit code 1 if a cell could not be done.

    Parameters
    ----------
    config
        TOML or YAML file, see examples/table.toml; paths in it are relative to its folder.
    out
        Folder for cells/, features/ and the tables, which are named as the file is, instead of the file's own.
    """
    from resight.cli.progress import progress
    from resight.measure.grid import run_grid
    from resight.measure.grid_config import read_grid
    from resight.measure.grid_inputs import read_inputs
    from resight.measure.grid_table import table_line
    from resight.show import write_atomic

    grid = read_grid(config, out)
    inputs = read_inputs(grid)
    _announce(grid, inputs)
    lines: list[Line] = []
    for row in run_grid(grid, inputs, save=write_atomic, watch=progress):
        lines.append(table_line(row, grid.ks))
        _print_line(lines[-1], f"{len(lines)} of {len(grid.cells)}", row.reused)
    return _finish(grid, inputs, lines)


def _announce(grid: Grid, inputs: Inputs) -> None:
    from resight.show.text import visible

    whitening = f", {len(inputs.whitening):,} for whitening" if inputs.whitening else ""
    print(
        f"{len(grid.cells):,} cells over {len(inputs.images):,} images{whitening}, in {visible(grid.out)}", flush=True
    )


def _print_line(line: Line, place: str, reused: bool) -> None:
    from resight.show.text import visible

    if not line.done:
        print(f"{place}  {line.cell}: not done: {visible(line.reason)}", flush=True)
        return
    scores = ", ".join(
        f"{name} {100 * line.scores[name]:.2f} [{100 * low:.1f}, {100 * high:.1f}]"
        for name, (low, high) in line.intervals.items()
    )
    print(f"{place}  {line.cell}: {scores}{' (as before)' if reused else ''}", flush=True)


def _finish(grid: Grid, inputs: Inputs, lines: Sequence[Line]) -> int:
    import shlex
    import shutil
    import textwrap

    from resight.measure.grid_table import best_two, table_csv, table_markdown, table_notes, table_text
    from resight.show import write_atomic
    from resight.show.text import visible

    out = Path(grid.out)
    out.mkdir(parents=True, exist_ok=True)
    page, sheet = out / f"{grid.name}.md", out / f"{grid.name}.csv"
    text = "\n".join(map(visible, table_markdown(lines, _sources(grid, inputs)).split("\n")))
    write_atomic(sheet, table_csv(lines).encode("utf-8", "backslashreplace"))
    write_atomic(page, text)
    width = shutil.get_terminal_size((120, 24)).columns
    print()
    for line in table_text(lines, width).split("\n"):
        print(visible(line))
    print()
    for note in table_notes(lines, "*"):
        print(textwrap.fill(visible(note), width, break_long_words=False, break_on_hyphens=False))
    print(f"wrote {visible(str(page))} (all columns and the protocol) and {visible(sheet.name)}")
    pair = best_two(lines)
    if pair is not None:
        best, second = (visible(shlex.quote(str(out / "cells" / line.key))) for line in pair)
        print(f"the best two, query by query: resight compare {second} {best}")
    return 0 if all(line.done for line in lines) else 1


def _sources(grid: Grid, inputs: Inputs) -> list[str]:
    lines = [f"Evaluated: {len(inputs.images):,} images of {', '.join(grid.images)}."]
    if inputs.whitening:
        lines.append(f"Whitening fitted on {len(inputs.whitening):,} images of {', '.join(grid.whiten_from)}.")
    return lines
