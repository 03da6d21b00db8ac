"""From the clips that are there and those that came, to the clips that a snapshot should hold.

Labels, licences, consent and expiry are facts of today, so they are put on all rows of listed
sources each time, and rows of sources that must be left out go. Rows of sources that are not listed
stay as they are.
"""

from collections import Counter
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from videogen.data.snapshots.clip_table import SCHEMA, of_sources, stays, without
from videogen.ingest.clips.filters import near_duplicates
from videogen.ingest.known.ledger import Ledger

_ON_ROWS = ("label", "licence", "consent", "owner", "expires")


@dataclass(frozen=True)
class Publication:
    """What is known of the sources of a config."""

    listed: pa.Table
    """As of `survey.with_facts`."""
    contents: pa.Array
    """sha256 of each listed source, null where it is not known."""
    forgotten: frozenset[str]
    near_duplicate_bits: int | None

    @classmethod
    def of(
        cls, listed: pa.Table, ledger: Ledger, forgotten: frozenset[str], bits: int | None
    ) -> "Publication":
        """Of listed sources whose contents the ledger knows."""
        places = ledger.places(listed.column("uri").combine_chunks())
        return cls(listed, ledger.column("sha256").take(places), forgotten, bits)

    def leaves_out(self, rows: pa.Table) -> pa.Array:
        """For each row, whether its source must not be used.

        A refusal is one of the content: it counts for all sources that have it.
        """
        refused = self.listed.column("refusal").combine_chunks().is_valid()
        contents = pc.drop_null(self.contents.filter(refused))
        uris = self.listed.column("uri").combine_chunks().filter(refused)
        by_content = pc.is_in(rows.column("source_sha256"), value_set=contents)
        by_uri = pc.is_in(rows.column("source").cast(pa.string()), value_set=uris)
        return pc.or_(pc.or_(by_content, by_uri), of_sources(rows, self.forgotten))

    def change(self, newest: pa.Table, added: pa.Table) -> pa.Table:
        """The rows of the next snapshot; of clips that look alike those that are there stay."""
        kept = newest.filter(pc.invert(self.leaves_out(newest)))
        added = without(added.filter(pc.invert(self.leaves_out(added))), kept)
        if self.near_duplicate_bits is not None and len(added):
            alike = near_duplicates(added, kept, self.near_duplicate_bits)
            added = added.filter(pc.invert(alike))
        return self._with_facts(pa.concat_tables([kept, added]))

    def changes(self, rows: pa.Table) -> bool:
        """Whether the rows of a snapshot must change, even without new ones."""
        wanted = self.change(rows, SCHEMA.empty_table())
        return len(wanted) != len(rows) or not bool(stays(rows, wanted).all())

    def held_back(self, added: pa.Table, published: pa.Table) -> Counter[str]:
        """Clips that are near duplicates of others, by the URI of their source."""
        usable = added.filter(pc.invert(self.leaves_out(added)))
        missing = without(usable, published).column("source").cast(pa.string())
        counts = pc.value_counts(missing).to_pylist()
        return Counter({one["values"]: one["counts"] for one in counts})

    def _with_facts(self, rows: pa.Table) -> pa.Table:
        """Rows with what is said of their source.

        Where that is not listed, but another one with its content is, what is said of that one.
        """
        uris = self.listed.column("uri").combine_chunks()
        own = pc.index_in(rows.column("source").cast(pa.string()), value_set=uris)
        alike = pc.index_in(rows.column("source_sha256"), value_set=self.contents)
        for name in _ON_ROWS:
            field = SCHEMA.field(name)
            said = self.listed.column(name)
            other = pc.coalesce(said.take(alike), rows.column(name).cast(pa.string()))
            column = pc.if_else(pc.is_valid(own), said.take(own), other)
            column = column.dictionary_encode().cast(field.type)
            rows = rows.set_column(SCHEMA.get_field_index(name), field, column)
        return rows
