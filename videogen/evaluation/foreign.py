"""Generators that come from elsewhere, put into the store for as long as they are judged."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from videogen.artifacts import GeneratorRef
from videogen.config.section import digest_of
from videogen.models.export import SPEC_FILE, WEIGHTS_FILE, GeneratorSpec, load_generator
from videogen.runs import manifest
from videogen.storage.base import ObjectStore

_FILES: Final = (SPEC_FILE, WEIGHTS_FILE)


@dataclass(frozen=True)
class ForeignGenerator:
    """A generator in a directory of this machine, known to load."""

    model: str
    """What people call it: `models:/NAME/VERSION`, or the directory."""
    directory: Path
    clips_seen: int
    """By its training; 0 where that is not known."""
    spec: GeneratorSpec

    @classmethod
    def open(cls, model: str, directory: Path, clips_seen: int) -> "ForeignGenerator":
        """Load it once, so that what is damaged is refused before anything is done.

        Raises:
            CorruptObjectError: a file is missing, damaged, or does not fit the other.
        """
        _, spec = load_generator(directory)
        return cls(model, directory, clips_seen, spec)

    @property
    def sha256(self) -> str:
        """Of its files."""
        digests = {name: manifest.FileDigest.of(self.directory / name).sha256 for name in _FILES}
        return digest_of(digests)


@contextmanager
def lent(
    generator: ForeignGenerator, store: ObjectStore, run_id: str, number: int = 0
) -> Iterator[GeneratorRef]:
    """The generator below `runs/RUN_ID/models/NUMBER` for the length of the block.

    So tasks on any machine can fetch it, each file checked against its manifest. It is removed at
    the end, however the block ends.

    Raises:
        StorageError: the store refuses it.
    """
    prefix = f"runs/{run_id}/models/{number}"
    try:
        with tempfile.TemporaryDirectory(prefix="videogen-lent-") as scratch:
            place = Path(scratch) / "generator"
            place.mkdir()
            for name in _FILES:
                shutil.copyfile(generator.directory / name, place / name)
            sha256 = manifest.publish(store, prefix, Path(scratch))
        yield GeneratorRef(
            run_id=run_id,
            prefix=prefix,
            manifest_sha256=sha256,
            clips_seen=generator.clips_seen,
            num_frames=generator.spec.num_frames,
            height=generator.spec.height,
            width=generator.spec.width,
            fps=generator.spec.fps,
            model=generator.model,
        )
    finally:
        for info in list(store.list(f"{prefix}/")):
            store.purge(info.key)
