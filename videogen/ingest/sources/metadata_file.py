"""What people say about sources, read from a CSV or Parquet file: one row per source.

Columns: `source`, and any of `label`, `licence` (or `license`), `consent`, `owner`, `expires` (or
`expiry`).
Nothing is guessed: a column, a date or a consent that is not understood is a `ConfigError` that
names file, row and cell, since a row misread may let in what must stay out.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from videogen.config.sections import StorageConfig
from videogen.data.video.unusable import shown
from videogen.errors import ConfigError, ObjectMissingError
from videogen.ingest.sources.s3_listing import open_bucket
from videogen.ingest.sources.source import S3

COLUMNS = ("source", "label", "licence", "consent", "owner", "expires")

_ALIASES = {"license": "licence", "expiry": "expires"}
_GRANTED = frozenset(("yes", "y", "true", "1", "granted", "given", "signed"))
_REFUSED = frozenset(("no", "n", "false", "0", "refused", "denied", "withdrawn", "revoked"))
_PARQUET = b"PAR1"
_MEND = "correct it, or change ingest.metadata"


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What is known of a source besides its pictures; None where nothing is said."""

    label: str | None = None
    licence: str | None = None
    consent: Literal["granted", "refused"] | None = None
    owner: str | None = None
    expires: date | None = None
    """The first day on which the source is no longer used."""

    def refusal(self, today: date) -> Literal["expired", "consent refused"] | None:
        """Why the source must be left out; None: it may be used."""
        if self.consent == "refused":
            return "consent refused"
        if self.expires is not None and today >= self.expires:
            return "expired"
        return None


@dataclass(frozen=True, slots=True)
class Row:
    """One row, and where it stands."""

    number: int
    """From 1, without the header."""
    source: str
    facts: SourceFacts


def read_rows(name: str, storage: StorageConfig) -> list[Row]:
    """The rows of a local file or an `s3://` object.

    Raises `ConfigError` naming the row and what is wrong with it, `StorageError` where S3 cannot be
    reached.
    """
    data = _read(name, storage)
    cells = _parquet_rows(name, data) if data[:4] == _PARQUET else _csv_rows(name, data)
    alike: dict[SourceFacts, SourceFacts] = {}  # few are different, many rows share them
    rows = []
    for number, row in enumerate(cells, start=1):
        if any(row.values()):
            where = f"{shown(name)}, row {number}"
            facts = _facts(row, where)
            rows.append(Row(number, _source(row, where), alike.setdefault(facts, facts)))
    return rows


def _read(name: str, storage: StorageConfig) -> bytes:
    try:
        if name.startswith(S3):
            bucket, _, key = name.removeprefix(S3).partition("/")
            return open_bucket(bucket, storage).get(key).data
        return Path(name).expanduser().read_bytes()
    except ObjectMissingError as error:
        raise ConfigError(f"there is no {shown(name)}: check ingest.metadata") from error
    except OSError as error:
        raise ConfigError(
            f"{shown(name)} cannot be read: {error.strerror}: check ingest.metadata"
        ) from error


def _csv_rows(name: str, data: bytes) -> Iterator[Mapping[str, str]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{shown(name)} is neither Parquet nor text in UTF-8 (byte {error.start}): "
            "save it as CSV in UTF-8"
        ) from error
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = _columns(name, next(lines, []))
        for number, cells in enumerate((line for line in lines if line), start=1):
            if len(cells) != len(columns):
                raise ConfigError(
                    f"{shown(name)}, row {number} has {len(cells)} cells for {len(columns)} "
                    f"columns: quote cells that hold a comma; {_MEND}"
                )
            yield dict(zip(columns, map(str.strip, cells), strict=True))
    except csv.Error as error:
        raise ConfigError(
            f"{shown(name)}, line {lines.line_num} is no CSV: {error}: {_MEND}"
        ) from error


def _parquet_rows(name: str, data: bytes) -> Iterator[Mapping[str, str]]:
    try:
        table = pq.read_table(io.BytesIO(data))
    except pa.ArrowException as error:
        raise ConfigError(
            f"{shown(name)} is damaged or no Parquet: {_one_line(error)}: {_MEND}"
        ) from error
    columns = _columns(name, table.column_names)
    for batch in table.to_batches():
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield dict(zip(columns, map(_text, values), strict=True))


def _columns(name: str, header: list[str]) -> list[str]:
    """Names of columns as we call them."""
    plain = [cell.strip().lower() for cell in header]
    columns = [_ALIASES.get(cell, cell) for cell in plain]
    unknown = [cell for cell in columns if cell not in COLUMNS]
    if "source" not in columns or unknown or len(set(columns)) != len(columns):
        raise ConfigError(
            f"{shown(name)} has the columns {', '.join(map(shown, header)) or '(none)'}: give "
            f"source, and any of {', '.join(COLUMNS[1:])}, separated by commas, each once"
        )
    return columns


def _source(row: Mapping[str, str], where: str) -> str:
    if not row["source"]:
        raise ConfigError(f"{where} names no source: {_MEND}")
    return row["source"]


def _facts(row: Mapping[str, str], where: str) -> SourceFacts:
    return SourceFacts(
        label=row.get("label") or None,
        licence=row.get("licence") or None,
        consent=_consent(row.get("consent", ""), where),
        owner=row.get("owner") or None,
        expires=_expiry(row.get("expires", ""), where),
    )


def _consent(text: str, where: str) -> Literal["granted", "refused"] | None:
    if not text:
        return None
    if text.lower() in _GRANTED:
        return "granted"
    if text.lower() in _REFUSED:
        return "refused"
    raise ConfigError(
        f"{where}: consent is {shown(text)!r}: give one of {', '.join(sorted(_GRANTED))}, or one "
        f"of {', '.join(sorted(_REFUSED))}, or nothing"
    )


def _expiry(text: str, where: str) -> date | None:
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise ConfigError(f"{where}: expires is {shown(text)!r}: give a date as 2027-12-31")
    return day


def _text(value: object) -> str:
    """A cell of a typed column as a CSV would have it."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.date().isoformat()
    return str(value).strip()


def _one_line(error: object) -> str:
    return " ".join(str(error).split())
