"""A real dataset for benches: generated footage, ingested into a real S3 store."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from videogen.artifacts import DatasetRef
from videogen.benchmarks.footage import Footage, write_footage, write_twin
from videogen.benchmarks.ingest_runs import Here
from videogen.benchmarks.own_services import OwnServices
from videogen.config.run import RunConfig
from videogen.config.sections import IngestConfig
from videogen.ingest.stage import ingest
from videogen.progress import Progress, ProgressEvent, silent


@dataclass(frozen=True)
class ClipSet:
    """Which clips to make."""

    name: str = "clips"
    size: int = 64
    """Pixels a side."""
    codec: Literal["raw", "jpeg"] = "jpeg"
    scene_seconds: Sequence[int] = (5, 3, 4) * 6
    """Each scene becomes one clip of 24 frames a second, of 128 frames at most."""
    num_copies: int = 9
    """Files of the same video, which make clips of their own."""
    shard_size_bytes: int = 4 << 20


def make_clips(made: ClipSet, place: OwnServices, scratch: Path, progress: Progress) -> DatasetRef:
    """Generate, and ingest into the store. Raises `VideogenError` where a disk is full."""
    progress(ProgressEvent("bench", message=f"generating clips of {made.size} px"))
    footage = Footage(width=320, height=180, scene_seconds=tuple(made.scene_seconds))
    original = scratch / f"{made.name}.mp4"
    write_footage(original, footage)
    paths = [scratch / f"{made.name}-{number}.mp4" for number in range(made.num_copies)]
    for number, path in enumerate(paths):
        write_twin(path, original, number)
    config = RunConfig(
        name=made.name,
        storage=place.storage,
        ingest=IngestConfig(
            sources=tuple(str(path) for path in paths),
            resolution=(made.size, made.size),
            fps=footage.fps,
            codec=made.codec,
            max_clip_frames=128,
            holdout_fraction=0.0,
            shard_size_bytes=made.shard_size_bytes,
        ),
    )
    dataset = ingest(config, place.store, Here(), silent)
    for path in (original, *paths):
        path.unlink()
    return dataset
