"""Rows of a CSV file with named columns; every complaint names the file and the line."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from resight.errors import InputError, WorkError


def read_rows(path: Path, required: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a UTF-8 CSV file with a header, one at a time.

    required: columns that must be there, of which "path" must be filled in every row
    ->        (line number, {column: cell}); blank lines are passed over, missing cells are ""

    Raises InputError if the file is missing, not UTF-8, malformed, or lacks a column or a path; WorkError if it
    cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            columns = [cell.strip() for cell in next(reader, [])]
            for column in required:
                if column not in columns:
                    found = ", ".join(map(repr, columns)) or "nothing"
                    raise InputError(
                        f"{path}, line 1: expected a column {column!r}, got {found}; "
                        f"the first line names the comma-separated columns, for example path,label"
                    )
            for cells in reader:
                if not cells:
                    continue
                row = dict.fromkeys(columns, "") | dict(zip(columns, cells, strict=False))
                if not row.get("path", "path").strip():
                    raise InputError(f"{path}, line {reader.line_num}: the cell under 'path' is empty")
                yield reader.line_num, row
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}: save it as CSV UTF-8") from error
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: not readable as CSV: {error}") from error
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise InputError(f"{path}: expected a CSV file, got none: {error.strerror}") from error
    except OSError as error:
        raise WorkError(f"{path}: {error.strerror or error}") from error
