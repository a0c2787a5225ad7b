"""A grid of retrieval experiments in one run: what was done before is kept, so that it can be interrupted at any time.

    OUT/features/SPACE.resight             the evaluated images, one collection per embedding space
    OUT/features/SPACE-whitening.resight   the images that whitenings are fitted on
    OUT/features/parts-KEY.npz             whitenings of parts
    OUT/features/finished-KEY.json         receipts of whole grids, see `grid_rows`
    OUT/cells/KEY/                         a finished cell: run.json and per_query.csv, see `runs`

A space's name comes from the weights and all else that decides a vector, a cell's key from all that decides its scores:
the space, how it is whitened, the steps, the ground truth, and the bytes of all images. So nothing stale is ever used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from resight.measure.grid_config import Grid
from resight.measure.grid_inputs import Inputs
from resight.measure.grid_rows import Row, receipt, receipt_file, rows_of_receipt
from resight.measure.watching import Watch, unwatched

Save = Callable[[Path, "str | bytes"], None]


def run_grid(grid: Grid, inputs: Inputs, *, save: Save, watch: Watch = unwatched) -> Iterator[Row]:
    """The rows of a grid, one by one as they are finished, in its order.

    inputs: from `read_inputs`
    save:   writes a file as a whole or not at all
    watch:  shows how far each long part is, see `watching`

    A cell that cannot be done gives a row with the reason, and the others go on. Raises InputError or WorkError at once
    if the network cannot be made, WorkError if a result cannot be written.
    """
    file = receipt_file(grid, inputs)  # of the files as they are now: a change while it works is noticed next time
    known = rows_of_receipt(file, grid) if file is not None else None
    if known is not None:
        yield from known
        return
    from resight.measure.grid_spaces import compute_rows  # loads torch

    done: list[Row] = []
    for row in compute_rows(grid, inputs, save=save, watch=watch):
        if row.run is not None:
            done.append(Row(row.cell, row.key, dim=row.dim, unread=row.unread))
        yield row
    if file is not None and len(done) == len(grid.cells):
        file.parent.mkdir(parents=True, exist_ok=True)
        save(file, receipt(done))
