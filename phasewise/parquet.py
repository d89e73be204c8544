"""Results as Parquet: one row a scenario, policy and seed, with everything that tells how it came about."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_type_hints

from envs.files import write_atomically
from envs.results import EpisodeResult, SeedResult

DRAWN = {"figures", "series"}
"""What is not a column of its own: the figures are columns each, and the series are for pictures."""


def columns() -> dict[str, type]:
    """Name the columns and their Python types: how the run was made, then its figures, as `evaluate --json` names them."""
    provenance = {name: kind for name, kind in get_type_hints(EpisodeResult).items() if name not in DRAWN}
    return provenance | get_type_hints(SeedResult)


def rows(results: Iterable[EpisodeResult]) -> Iterator[dict[str, Any]]:
    """Lay results out flat, in the order given."""
    for result in results:
        provenance = {name: getattr(result, name) for name in get_type_hints(EpisodeResult) if name not in DRAWN}
        yield provenance | dataclasses.asdict(result.figures)


def write_rows(results: Sequence[EpisodeResult], path: Path) -> None:
    """Write results as a Parquet file, whole or not at all. Results of several scenarios may stand in one file.

    Raises:
        UserError: nothing can be written at this place.
        RuntimeFault: the disk is full or broken.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string(), tuple[str, ...]: pa.list_(pa.string())}
    schema = pa.schema([pa.field(name, arrow[kind], nullable=False) for name, kind in columns().items()])
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(rows(results)), schema=schema), sink, compression="zstd")
    write_atomically(path, sink.getvalue().to_pybytes())
