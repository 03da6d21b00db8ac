"""The sources of a config as a table, against the ledger: which of them need a closer look.

A million known sources are compared by columns, a piece of the listing at a time; only those that
the ledger does not settle stay objects.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from videogen.ingest.known.ledger import Ledger
from videogen.ingest.known.records import PASSING
from videogen.ingest.sources.metadata import Metadata
from videogen.ingest.sources.source import GONE, Source

_AT_ONCE = 1 << 16
_FACTS = ("label", "licence", "consent", "owner", "expires", "refusal")
_SCHEMA = pa.schema([(name, pa.string()) for name in ("uri", *_FACTS)])


@dataclass(frozen=True)
class Survey:
    """What a listing holds; each source once."""

    listed: pa.Table
    """`uri` and `label` of all sources."""
    twins: tuple[Source, ...]
    """Known to have the content of another source."""
    loose: tuple[Source, ...]
    """Unknown to the ledger, changed, or unusable for a reason that may be gone."""

    def uris(self) -> Iterator[str]:
        """Of all sources."""
        for chunk in self.listed.column("uri").chunks:
            yield from chunk.to_pylist()


def survey(sources: Iterable[Source], ledger: Ledger) -> Survey:
    """Compare a listing with the ledger, by URI with size and modification time or ETag."""
    pieces = [pa.table({"uri": [], "label": []}, schema=_listing_schema())]
    twins: dict[str, Source] = {}
    loose: dict[str, Source] = {}
    listing = iter(sources)
    while piece := tuple(islice(listing, _AT_ONCE)):
        columns = {"uri": [one.uri for one in piece], "label": [one.label for one in piece]}
        pieces.append(pa.table(columns, schema=_listing_schema()))
        rows = ledger.table.take(ledger.places(pieces[-1].column("uri").combine_chunks()))
        is_held = _settled(rows, pa.array([one.fingerprint for one in piece], pa.string()))
        is_twin = _true(pc.equal(rows.column("status"), "duplicate"))
        for index in np.flatnonzero(~is_held):
            loose.setdefault(piece[index].uri, piece[index])
        for index in np.flatnonzero(is_held & is_twin):
            twins.setdefault(piece[index].uri, piece[index])
    listed = _each_once(pa.concat_tables(pieces))
    return Survey(listed, tuple(twins.values()), tuple(loose[uri] for uri in sorted(loose)))


def with_facts(listed: pa.Table, metadata: Metadata, today: date) -> pa.Table:
    """Columns `uri`, `label`, `licence`, `consent`, `owner`, `expires`, `refusal`.

    `refusal` says why a source is left out today. A label of the metadata goes before a folder's.
    """
    if not metadata.facts:
        for name in _FACTS[1:]:
            listed = listed.append_column(name, pa.nulls(len(listed), pa.string()))
        return listed
    columns: dict[str, list[str | None]] = {name: [] for name in _SCHEMA.names}
    for batch in listed.to_batches():
        both = zip(batch.column("uri").to_pylist(), batch.column("label").to_pylist(), strict=True)
        for uri, label in both:
            facts = metadata.facts_of(uri)
            columns["uri"].append(uri)
            columns["label"].append(facts.label or label)
            columns["licence"].append(facts.licence)
            columns["consent"].append(facts.consent)
            columns["owner"].append(facts.owner)
            columns["expires"].append(facts.expires.isoformat() if facts.expires else None)
            columns["refusal"].append(facts.refusal(today))
    return pa.table(columns, schema=_SCHEMA)


def _listing_schema() -> pa.Schema:
    return pa.schema([("uri", pa.string()), ("label", pa.string())])


def _settled(rows: pa.Table, fingerprints: pa.Array) -> NDArray[np.bool_]:
    """Whether what the ledger says still holds, by all that the listing tells."""
    same = _true(pc.equal(rows.column("fingerprint").combine_chunks(), fingerprints))
    passing = _true(pc.is_in(rows.column("reason"), value_set=pa.array(PASSING)))
    return same & ~(passing & ~_true(pc.equal(fingerprints, GONE)))


def _true(mask: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(pc.fill_null(mask, False))  # noqa: FBT003 - positional in pyarrow


def _each_once(listed: pa.Table) -> pa.Table:
    """The first row of each URI, in the order of URIs."""
    listed = listed.combine_chunks()
    codes = np.asarray(listed.column("uri").combine_chunks().dictionary_encode().indices)
    first = np.unique(codes, return_index=True)[1]
    return listed.take(pa.array(first)).sort_by("uri")
