"""`resight train study`: rows of training runs side by side, over several seeds."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from resight.errors import WorkError

if TYPE_CHECKING:
    from resight.train.history import EpochLine
    from resight.train.runs import Run
    from resight.train.study import Cell, Failure
    from resight.train.study_config import Study

SECONDS_BETWEEN_EPOCHS = 20.0


def study(config: Path, /, *, out: Path | None = None, device: str = "auto") -> int:
    """Train and test every row of a file with every seed, and write one table: mean and standard deviation.

    Run it again to go on after an interruption, or after a change of the file or the images: what is finished and
    unchanged is not trained twice. A run that fails is reported, the others go on, and the exit code is 1.
    Everything in the file is checked before the first run begins. With `test: false` in it the table shows
    validation alone, to choose options by before anything is tested.

    Parameters
    ----------
    config
        TOML, YAML or JSON file, see examples/study.yaml; paths in it are relative to its folder.
    out
        Folder of runs and tables, instead of the file's own.
    device
        auto, cpu, cuda or mps.
    """
    from resight.cli.destinations import check_folder
    from resight.cli.train import show_progress
    from resight.show.text import visible
    from resight.train.study import Cell, Failure, run_study
    from resight.train.study_config import read_study

    plan = read_study(config, out)
    check_folder(Path(plan.out))
    runs = len(plan.rows) * len(plan.seeds)
    print(f"{len(plan.rows)} rows x {len(plan.seeds)} seeds, in {visible(plan.out)}", flush=True)
    cells: list[Cell] = []
    failures: list[Failure] = []
    for cell in run_study(
        plan,
        device=device,
        announce=lambda text: print(f"{len(cells) + len(failures) + 1} of {runs}  {visible(text)}", flush=True),
        tell=lambda text: print(f"  {visible(text)}", flush=True),
        report=_Epochs().show,
        progress=show_progress,
    ):
        if isinstance(cell, Failure):
            failures.append(cell)
        else:
            cells.append(cell)
        before = " (as before)" if isinstance(cell, Cell) and cell.reused else ""
        print(f"{len(cells) + len(failures)} of {runs}  {visible(str(cell))}{before}", flush=True)
    if cells:
        _finish(plan, cells, failures, device)
    if failures:
        raise WorkError(f"{len(failures)} of {runs} runs failed, the first of them {failures[0]}")
    return 0


class _Epochs:
    """Prints an epoch now and then: a study has thousands."""

    def __init__(self) -> None:
        self._printed = time.monotonic()

    def show(self, line: EpochLine) -> None:
        """Prints an epoch, or not."""
        from resight.cli.train import epoch_line

        now = time.monotonic()
        if now - self._printed >= SECONDS_BETWEEN_EPOCHS:
            self._printed = now
            print(f"  {epoch_line(line)}", flush=True)


def _finish(plan: Study, cells: list[Cell], failures: list[Failure], device: str) -> None:
    from resight.show import write_atomic
    from resight.show.text import visible
    from resight.train.runs import Run
    from resight.train.study_table import notes, table_csv, table_lines, table_markdown, table_text
    from resight.train.study_times import times_per_image

    first = {cell.row: cell for cell in reversed(cells)}
    runs = {row: Run.open(first[row].folder, device) for row, _ in plan.rows if row in first}
    order = [row for row, _ in plan.rows]
    lines, unit = table_lines(cells, times_per_image(runs), order), "sequence" if plan.sequences else "image"
    out = Path(plan.out)
    page, sheet = out / f"{plan.name}.md", out / f"{plan.name}.csv"
    lost = [f"Not in the table: {one}." for one in failures]
    facts = [*lost, *_facts(plan, cells), f"Times: {_machine(next(iter(runs.values())))}."]
    write_atomic(sheet, table_csv(cells).encode("utf-8", "backslashreplace"))
    write_atomic(page, visible_lines(table_markdown(lines, facts, unit)))
    print()
    print(visible_lines(table_text(lines, unit)))
    print()
    print("\n".join([*map(visible, lost), *notes(lines, unit)]))
    print(f"wrote {visible(str(page))} and {visible(str(sheet))}; each run is in {visible(str(out / 'runs'))}")


def visible_lines(text: str) -> str:
    """The text with no hidden character but its line ends."""
    from resight.show.text import visible

    return "\n".join(visible(line) for line in text.split("\n"))


def _facts(plan: Study, cells: list[Cell]) -> list[str]:
    unit = "sequences" if plan.sequences else "images"
    shares = [f"{count:,} {what} {unit} a class" for count, what in
              ((plan.train_images, "training"), (plan.test_images, "test")) if count]  # fmt: skip
    counts = [(what, sorted({getattr(cell, name) for cell in cells})) for what, name in
              (("trained on", "trained"), ("validated on", "validated"), ("tested on", "tested"))]  # fmt: skip
    used = ", ".join(f"{what} {_range(found)}" for what, found in counts if any(found))
    return [
        f"Data: {Path(plan.data).name}{', at most ' + ' and '.join(shares) if shares else ''}; each run {used} {unit}.",
        f"Seeds: {', '.join(map(str, plan.seeds))}. Each run's options and scores: its folder.",
    ]


def _range(counts: list[int]) -> str:
    return f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"


def _machine(run: Run) -> str:
    device = next(run.network.parameters()).device
    return "one thread of the CPU" if device.type == "cpu" else str(device)
