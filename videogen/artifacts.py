"""What stages hand to each other: small, immutable documents with digests.

Each is written as JSON at `runs/RUN_ID/STAGE.json`, inside a `StageResult`.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

FORMAT_VERSION = 1


class Artifact(BaseModel):
    """A frozen document that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DatasetRef(Artifact):
    """One snapshot of a dataset, and what the ingest that answered with it counted."""

    dataset: str
    snapshot: str
    """Digest over the sorted logical rows."""
    ingest_digest: str
    sources: int
    clips: int
    frames: int
    quarantined: tuple[dict[str, str], ...] = ()
    """`{source, reason, detail}` of each source that could not be used."""
    new_sources: int = 0
    """Sources decoded by this ingest; 0 where there was nothing to do."""
    skipped: int = 0
    """Sources of the config that were known already, and not read again."""
    filtered: dict[str, int] = {}
    """By reason: clips left out by filters, and sources left out by metadata or as duplicates."""
    frames_per_s: float = 0.0
    """Frames decoded by this ingest a second."""
    peak_rss_bytes: int = 0
    """Of the largest process that decoded."""
    height: int
    width: int
    fps: float
    seconds: float = 0.0


class CheckpointRef(Artifact):
    """One committed checkpoint."""

    run_id: str
    prefix: str
    """Key prefix of its files, below the store's root."""
    manifest_sha256: str
    clips_seen: int
    snapshot: str
    model_kind: str
    num_frames: int
    height: int
    width: int
    fps: float
    final_metrics: dict[str, float] = {}
    seconds: float = 0.0
    mlflow_run_id: str | None = None

    @property
    def generator(self) -> "GeneratorRef":
        """Its generator, to be judged."""
        return GeneratorRef(
            run_id=self.run_id,
            prefix=self.prefix,
            manifest_sha256=self.manifest_sha256,
            clips_seen=self.clips_seen,
            num_frames=self.num_frames,
            height=self.height,
            width=self.width,
            fps=self.fps,
        )


class GeneratorRef(Artifact):
    """A generator in the store that can be judged: `generator/` below a prefix with a manifest."""

    run_id: str
    """Under which what is made of it is kept."""
    prefix: str
    manifest_sha256: str
    clips_seen: int
    num_frames: int
    height: int
    width: int
    fps: float
    model: str | None = None
    """`models:/NAME/VERSION`, or the directory, where it does not come from a run."""


class Protocol(Artifact):
    """All that a metric's value depends on beside the generator."""

    name: str
    """For instance `fvd64_16f`."""
    extractor: str
    extractor_sha256: str
    num_real: int
    num_fake: int
    num_frames: int
    frame_stride: int
    height: int
    width: int
    split: str | None = None
    seed: int = 0
    snapshot: str | None = None
    covariance: Literal["n-1", "n"] = "n-1"
    frame_codec: str = "raw"
    precision: str = "fp32"
    """Of the extractor's convolutions."""
    neighbours: int = 5
    """k of precision, recall, density and coverage."""
    num_training: int = 0
    """Training clips among which near-copies were looked for."""
    extractors: dict[str, str] = {}
    """Name to sha256 of those beside I3D."""


class ClosestPair(Artifact):
    """A generated clip and the training clip nearest to it."""

    fake: int
    """Its number: it is drawn from the protocol's seed plus this."""
    clip_id: str
    start: int
    """First frame of the training clip's window."""
    distance: float
    """Euclidean, between features."""


class EvaluationReport(Artifact):
    """How a generator was judged."""

    metrics: dict[str, float]
    """`fvd` and whatever stands beside it."""
    intervals: dict[str, tuple[float, float]] = {}
    """95 % intervals of some of the metrics, by the same names."""
    yardsticks: dict[str, float]
    """FVD of `floor`, `shuffled`, `frozen`, `blank` against the same reals at the same N."""
    curves: dict[str, tuple[float, ...]] = {}
    """What is plotted; names and units are those of `videogen.evaluation.measure`."""
    closest: tuple[ClosestPair, ...] = ()
    """Nearest first."""
    protocol: Protocol
    checkpoint_manifest_sha256: str | None = None
    model: str | None = None
    """`models:/NAME/VERSION`, or the directory, where that was judged."""
    previews: dict[str, str] = {}
    """Name to key in the store: `report.html`, `sheet.png`, `closest.png`, `preview.mp4`, …."""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


class ComparedModel(Artifact):
    """One of the models that were compared."""

    model: str
    """`models:/NAME/VERSION`, or the directory; no two of a comparison are alike."""
    manifest_sha256: str
    clips_seen: int
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]] = {}
    """95 % intervals of some of the metrics, by the same names."""
    notes: tuple[str, ...] = ()
    """What holds for this model alone."""


class ModelDifference(Artifact):
    """Whether the FVDs of two models differ by more than chance, by a paired bootstrap."""

    model: str
    other: str
    difference: float
    """FVD of `model` less that of `other`: below 0 where `model` is the better one."""
    interval: tuple[float, float]
    """95 %, of the difference."""
    p_value: float
    """Two-sided, of no difference."""
    better: str | None = None
    """The better one of the two; None where the difference may be chance."""


class ComparisonReport(Artifact):
    """Models side by side: the same seeds, the same reals, one protocol."""

    models: tuple[ComparedModel, ...]
    """In the order that they were named in."""
    differences: tuple[ModelDifference, ...]
    """Each pair; of more than three models, each against the first."""
    yardsticks: dict[str, float]
    """As those of an `EvaluationReport`."""
    protocol: Protocol
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


class ModelRef(Artifact):
    """One version in the model registry."""

    name: str
    version: str
    uri: str
    """`models:/NAME/VERSION`."""
    aliases: tuple[str, ...]
    decision: str
    """`champion` or `challenger`, with the reason in `reasons`."""
    reasons: tuple[str, ...] = ()
    mlflow_run_id: str | None = None
    tracking_uri: str | None = None
    """Without user name, password or query."""
    seconds: float = 0.0


class StageResult(Artifact):
    """What `runs/RUN_ID/STAGE.json` holds."""

    format_version: int = FORMAT_VERSION
    stage: str
    key: str
    run_id: str
    reused_from: str | None = None
    """The run that did the work, where this one only links to it."""
    code_version: str
    finished_at: str
    seconds: float
    artifact: dict[str, Any]
