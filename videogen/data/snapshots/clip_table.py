"""The rows of a dataset: one per clip, columnar, with a digest that knows no file format."""

import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from videogen.errors import CorruptObjectError, DatasetError

ROWS_VERSION = 2
_SHA256 = pa.binary(32)
_NAME = pa.dictionary(pa.int32(), pa.string())
_VERSION_KEY = b"videogen.rows"
_HEX = ("clip_id", "source_sha256", "shard", "sha256")
_NOT_HASHED = ("source",)
_SINCE_2 = frozenset(
    (
        *("owner", "expires", "source_bytes", "decisions"),
        *("brightness", "contrast", "motion", "perceptual_hash"),
    )
)

SCHEMA = pa.schema(
    [
        ("clip_id", _SHA256),
        ("source", _NAME),
        ("source_sha256", _SHA256),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("shard", _SHA256),
        ("offset", pa.int64()),
        ("length", pa.int64()),
        ("sha256", _SHA256),
        ("frames", pa.int32()),
        ("fps", pa.float64()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("codec", _NAME),
        ("colour", _NAME),
        ("split", _NAME),
        ("label", _NAME),
        ("licence", _NAME),
        ("consent", _NAME),
        ("owner", _NAME),
        ("expires", _NAME),
        ("source_bytes", pa.int64()),
        ("decisions", _NAME),
        ("brightness", pa.float64()),
        ("contrast", pa.float64()),
        ("motion", pa.float64()),
        ("perceptual_hash", pa.uint64()),
    ],
    metadata={_VERSION_KEY: str(ROWS_VERSION).encode()},
)


@dataclass(frozen=True)
class ClipRow:
    """One clip; digests are hex here, and binary in the table."""

    clip_id: str
    source: str
    """URI that the clip was taken from: where it lay, so the dataset's digest leaves it out."""
    source_sha256: str
    start_s: float
    end_s: float
    shard: str
    offset: int
    length: int
    sha256: str
    frames: int
    fps: float
    height: int
    width: int
    codec: str
    colour: str
    split: str
    label: str | None = None
    licence: str | None = None
    consent: str | None = None
    owner: str | None = None
    expires: str | None = None
    """Date, as YYYY-MM-DD, from which the source is no longer used."""
    source_bytes: int = 0
    decisions: str = ""
    """How the source was read, as JSON (`picture.Decisions`)."""
    brightness: float = 0.0
    """Mean luma, 0 to 255."""
    contrast: float = 0.0
    """Standard deviation of luma within a frame, averaged over the clip."""
    motion: float = 0.0
    """Mean absolute change of luma from frame to frame, in levels."""
    perceptual_hash: int = 0
    """Of how the clip looks, 64 bits; see `perceptual_hash`."""


def table_of(rows: Iterable[ClipRow]) -> pa.Table:
    """A table of rows, sorted by clip id."""
    documents = [asdict(row) for row in rows]
    columns = {}
    for field in SCHEMA:
        values = [document[field.name] for document in documents]
        if field.name in _HEX:
            values = [bytes.fromhex(value) for value in values]
        columns[field.name] = pa.array(values, type=field.type)
    return sort_rows(pa.table(columns, schema=SCHEMA))


def rows_of(table: pa.Table) -> list[ClipRow]:
    """The rows of a table, in its order."""
    names = [field.name for field in fields(ClipRow)]
    columns = []
    for name in names:
        values = table.column(name).to_pylist()
        columns.append([value.hex() for value in values] if name in _HEX else values)
    return [ClipRow(*values) for values in zip(*columns, strict=True)]


def hex_column(table: pa.Table, name: str) -> list[str]:
    """A column of digests as hex."""
    return [value.hex() for value in table.column(name).to_pylist()]


def sort_rows(table: pa.Table) -> pa.Table:
    """The same rows, by clip id."""
    return table.unify_dictionaries().combine_chunks().sort_by("clip_id")


def join(tables: Sequence[pa.Table]) -> pa.Table:
    """All rows of tables, sorted; a clip that is in several counts once, as the first has it."""
    rows = pa.concat_tables([SCHEMA.empty_table(), *tables]).unify_dictionaries()
    ids = rows.column("clip_id").to_pylist()
    if len(set(ids)) != len(ids):
        _, first = np.unique(np.array(ids, dtype="S32"), return_index=True)
        rows = rows.take(pa.array(np.sort(first)))
    return sort_rows(rows)


def without(table: pa.Table, others: pa.Table) -> pa.Table:
    """The rows whose clip is not among `others`."""
    known = pc.is_in(table.column("clip_id"), value_set=others.column("clip_id").combine_chunks())
    return table.filter(pc.invert(known))


def of_sources(table: pa.Table, source_digests: Iterable[str]) -> pa.Array:
    """For each row, whether its source's sha256 (hex) is among those."""
    wanted = pa.array([bytes.fromhex(one) for one in source_digests], type=_SHA256)
    return pc.is_in(table.column("source_sha256"), value_set=wanted)


def stays(before: pa.Table, after: pa.Table) -> NDArray[np.bool_]:
    """For each row of `before`, whether `after` has its clip, the same in every column."""
    if len(before) == 0 or len(after) == 0:
        return np.zeros(len(before), bool)
    both = pa.concat_tables([before, after]).unify_dictionaries().combine_chunks()
    ids = after.column("clip_id").combine_chunks()
    places = pc.index_in(before.column("clip_id").combine_chunks(), value_set=ids)
    found = np.array(pc.is_valid(places))
    old = both.take(pa.array(np.flatnonzero(found)))
    new = both.take(pc.add(places.drop_null(), len(before)))
    same = np.ones(len(old), bool)
    for field in SCHEMA:
        one, other = old.column(field.name), new.column(field.name)
        if pa.types.is_dictionary(field.type):
            one, other = (column.combine_chunks().indices for column in (one, other))
        nulls = pc.and_(pc.is_null(one), pc.is_null(other))
        same &= np.array(pc.or_(pc.fill_null(pc.equal(one, other), fill_value=False), nulls))
    found[found] = same
    return found


def rows_digest(table: pa.Table, ingest_digest: str, version: int = ROWS_VERSION) -> str:
    """sha256, as hex, over the sorted rows and the ingest that made them.

    Column by column, so it is fast; never over bytes of Parquet or Arrow, so it does not change
    with their versions, nor with how the rows were spread over parts. `version` is the format of
    the rows; an earlier one has fewer columns.
    """
    table = sort_rows(table)
    digest = hashlib.sha256(f"{version}\n{ingest_digest}\n{len(table)}\n".encode())
    for field in SCHEMA:
        if field.name in _NOT_HASHED or (version == 1 and field.name in _SINCE_2):
            continue
        digest.update(f"{field.name}\n".encode())
        column = table.column(field.name)
        if field.type == _SHA256:
            digest.update(b"".join(column.to_pylist()))
        elif pa.types.is_dictionary(field.type):
            digest.update(json.dumps(column.to_pylist()).encode())
        else:
            values = np.asarray(column.to_numpy())
            digest.update(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def to_parquet(table: pa.Table) -> bytes:
    """The rows as one Parquet file."""
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    return file.getvalue()


def from_parquet(data: bytes, name: str) -> pa.Table:
    """The rows of a Parquet file; `name` is its key, for errors.

    Raises `CorruptObjectError`, and `DatasetError` for a newer format.
    """
    try:
        table = pq.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise CorruptObjectError(f"{name} cannot be read as Parquet: {error}") from error
    check_schema_version(table.schema, name)
    try:
        return _with_later_columns(table).select(SCHEMA.names).cast(SCHEMA)
    except (pa.ArrowException, KeyError) as error:
        raise CorruptObjectError(f"{name} does not hold rows of clips: {error}") from error


def _with_later_columns(table: pa.Table) -> pa.Table:
    """Rows of format 1 with the columns that format 2 added: names unknown, numbers 0."""
    for field in SCHEMA:
        if field.name not in table.column_names and field.name in _SINCE_2:
            empty = None if field.type == _NAME else 0
            table = table.append_column(field, pa.array([empty] * len(table), type=field.type))
    return table


def check_schema_version(schema: pa.Schema, name: str) -> None:
    """Raise `DatasetError` where rows are of a format that this videogen does not know."""
    metadata = cast("dict[bytes, bytes]", schema.metadata or {})
    check_version(int(metadata.get(_VERSION_KEY, b"0")), ROWS_VERSION, name)


def check_version(found: int, known: int, name: str) -> None:
    """Raise `DatasetError` where a document is of a format that this videogen does not know."""
    if not 1 <= found <= known:
        raise DatasetError(
            f"{name} is of format version {found}, this videogen reads 1 to {known}: "
            "update videogen"
        )
