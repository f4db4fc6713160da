"""Channel records as a file: `export_channels`, to CSV or Parquet by the file's ending.

Rows go through in batches, so that memory stays the same for any number of them.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any

from beholder.errors import InvalidInput
from beholder.extras import install
from beholder.jobs.record_export import COLUMNS
from cli.files import make_folder, writing

BATCH = 50_000  # rows; of Parquet a row group
ENDINGS = (".parquet", ".csv")

Rows = Iterable[dict[str, Any]]


def check_ending(path: Path) -> None:
    """Raise InvalidInput for a file that can't be written, before anything is read."""
    if path.suffix.lower() not in ENDINGS:
        raise InvalidInput(f"--export writes .parquet or .csv; got {path.name[:60]!r}.")
    if path.suffix.lower() == ".parquet":
        _pyarrow()


def export_channels(path: Path, rows: Rows) -> int:
    """Write the rows whole, or nothing; how many there were. Raises InvalidInput."""
    check_ending(path)
    make_folder(path.parent)
    write = _write_csv if path.suffix.lower() == ".csv" else _write_parquet
    with writing(path) as file:
        return write(file, rows)


def _write_csv(file: IO[bytes], rows: Rows) -> int:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    written = 0
    for row in rows:
        writer.writerow(row)
        written += 1
    text.detach()  # writes what is left; the file is closed by who opened it
    return written


def _write_parquet(file: IO[bytes], rows: Rows) -> int:
    pyarrow, parquet = _pyarrow()
    kinds = {
        str: pyarrow.string(),
        int: pyarrow.int64(),
        float: pyarrow.float64(),
        bool: pyarrow.bool_(),
    }
    schema = pyarrow.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])
    written = 0
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for batch in _batches(rows):
            writer.write_batch(pyarrow.RecordBatch.from_pylist(batch, schema=schema))
            written += len(batch)
    return written


def _batches(rows: Rows) -> Iterator[list[dict[str, Any]]]:
    source = iter(rows)
    while batch := list(islice(source, BATCH)):
        yield batch


def _pyarrow() -> tuple[Any, Any]:
    """The library, which only this needs."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise InvalidInput(f"Parquet needs pyarrow: {install('export')}, or write .csv.") from None
    return pyarrow, parquet
