"""What an ingest says of the sources of its config: which were quarantined or left out, and why."""

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from videogen.errors import DatasetError
from videogen.ingest.known.ledger import Ledger
from videogen.ingest.sources.source import Source


class Report:
    """Counts over all sources of a config, those of earlier ingests too."""

    def __init__(self, listed: pa.Table, ledger: Ledger) -> None:
        refusals = listed.column("refusal").combine_chunks()
        used = listed.column("uri").combine_chunks().filter(refusals.is_null())
        self._total = len(listed)
        self._refusals: Counter[str] = Counter(pc.drop_null(refusals).to_pylist())
        self._ledger = ledger.of_uris(used)
        self._bad = self._ledger.where(self._ledger.column("reason").is_valid())

    @property
    def num_refused(self) -> int:
        """Sources that were left out for what is said of them."""
        return self._refusals.total()

    def quarantined(self) -> tuple[dict[str, str], ...]:
        """`{source, reason, detail}` of each source that cannot be used, by URI."""
        table = self._bad.table.sort_by("uri").select(["uri", "reason", "detail"])
        return tuple(
            {
                "source": Source(one["uri"], None, 0, "").shown,
                "reason": one["reason"],
                "detail": one["detail"],
            }
            for one in table.to_pylist()
        )

    def filtered(self, forgotten: frozenset[str]) -> dict[str, int]:
        """By reason: clips that filters left out, and sources that were left out."""
        digests = pa.array([bytes.fromhex(one) for one in forgotten], pa.binary(32))
        is_forgotten = pc.is_in(self._ledger.column("sha256"), value_set=digests)
        is_duplicate = pc.equal(self._ledger.column("status"), "duplicate")
        counts = self._ledger.filtered() + self._refusals
        counts["duplicate source"] += pc.sum(pc.and_not(is_duplicate, is_forgotten)).as_py() or 0
        counts["forgotten source"] += pc.sum(is_forgotten).as_py() or 0
        return {reason: number for reason, number in sorted(counts.items()) if number}

    def refuse_excess(self, limit: float) -> None:
        """Raise `DatasetError` where a greater share than `limit` is quarantined."""
        if len(self._bad.table) > limit * self._total:
            raise DatasetError(
                f"{self.summary()}, above ingest.max_quarantined_fraction ({limit:g}): "
                "mend or leave out those sources, or raise the limit"
            )

    def summary(self) -> str:
        """How many sources were quarantined, why, and the first of them."""
        quarantined = self.quarantined()
        text = f"{len(quarantined)} of {self._total} sources cannot be used"
        left_out = {**self._refusals, **self._ledger.filtered()}
        if left_out:
            told = ", ".join(f"{number} {reason}" for reason, number in sorted(left_out.items()))
            text += f"; left out: {told}"
        if not quarantined:
            return text
        reasons = Counter(one["reason"] for one in quarantined)
        counted = ", ".join(f"{number} {reason}" for reason, number in sorted(reasons.items()))
        first = quarantined[0]
        return f"{text} ({counted}; first: {first['source']}: {first['reason']}, {first['detail']})"
