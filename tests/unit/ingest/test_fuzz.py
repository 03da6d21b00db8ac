"""Real files with seeded damage: no crash, no hang, and no clip of what is quarantined.

`--fuzz N` tries N files instead of 200, `--fuzz-seed S` other ones; `make fuzz` many.
"""

import io
import json
import queue
import subprocess
import sys
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import pytest
from footage_files import KINDS, write_footage
from mutations import mutated

from videogen.artifacts import DatasetRef
from videogen.data.shards.tar_shard import read_clip
from videogen.data.snapshots.snapshot import Snapshot, load_snapshot
from videogen.storage.local import LocalStore

_DEADLINE_S = 20.0
_START_S = 60.0
_SCRIPT = Path(__file__).with_name("fuzz_ingest.py")


@dataclass(frozen=True)
class Fuzzed:
    """Damaged files and their originals, and what an ingest made of them."""

    videos: Path
    originals: frozenset[str]
    store: LocalStore
    answer: DatasetRef

    @property
    def snapshot(self) -> Snapshot:
        return load_snapshot(self.store, "fuzz", self.answer.snapshot)


@pytest.fixture(scope="module")
def fuzzed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Fuzzed:
    number, seed = request.config.getoption("--fuzz"), request.config.getoption("--fuzz-seed")
    root = tmp_path_factory.mktemp("fuzz")
    videos = root / "videos"
    videos.mkdir()
    originals = [
        write_footage(videos, kind, name=f"original-{index:02}-{kind.name}", seed=index)
        for index, kind in enumerate(KINDS)
    ]
    contents = [path.read_bytes() for path in originals]
    for index in range(number):
        which, other = index % len(KINDS), (index * 7 + 3) % len(KINDS)
        path = videos / f"{index:06}-{KINDS[which].name}"
        path.write_bytes(mutated(contents[which], contents[other], seed * 1_000_003 + index))
    answer = _ingest(videos, root / "store")
    names = frozenset(path.name for path in originals)
    return Fuzzed(videos, names, LocalStore(root / "store"), answer)


def test_every_file_is_answered_for_and_the_good_ones_are_whole(fuzzed: Fuzzed) -> None:
    bad = {Path(one["source"]).name: one for one in fuzzed.answer.quarantined}
    assert all(one["reason"] and one["detail"] for one in bad.values())
    assert all(one["detail"].isprintable() for one in bad.values())
    assert bad.keys() <= {path.name for path in fuzzed.videos.iterdir()}
    assert not bad.keys() & fuzzed.originals
    frames: Counter[str] = Counter()
    for clip in fuzzed.snapshot.rows():
        frames[clip.source_sha256] += clip.frames
    # By content: some damage changes nothing, and then the original is the second of two.
    assert {frames[_digest(fuzzed.videos / name)] for name in fuzzed.originals} == {40}


def test_damage_is_found(fuzzed: Fuzzed) -> None:
    damaged = len(list(fuzzed.videos.iterdir())) - len(fuzzed.originals)
    share = len(fuzzed.answer.quarantined) / max(1, damaged)
    assert 0.2 < share < 0.9, "damage that is never, or always, fatal tries nothing"
    assert len({one["reason"] for one in fuzzed.answer.quarantined}) >= 3


def test_every_clip_is_whole_and_of_a_source_that_is_good(fuzzed: Fuzzed) -> None:
    bad = {Path(one["source"]).name for one in fuzzed.answer.quarantined}
    rows = list(fuzzed.snapshot.rows())
    assert not bad & {clip.source.rpartition("/")[2] for clip in rows}
    for clip in rows:
        frames = read_clip(fuzzed.store, "fuzz", clip)
        assert frames.shape == (clip.frames, 16, 16, 3)
        assert 16 <= clip.frames <= 24
        assert abs((clip.end_s - clip.start_s) * 8 - clip.frames) < 1e-6
    spoiled = {_digest(fuzzed.videos / name) for name in bad}
    packed = set(_packed_sources(fuzzed.store))
    assert {clip.source_sha256 for clip in rows} <= packed
    assert not spoiled & packed, "what is quarantined has no clip even in a shard"


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def _packed_sources(store: LocalStore) -> Iterator[str]:
    for info in store.list("datasets/fuzz/shards/"):
        with tarfile.open(fileobj=io.BytesIO(store.get(info.key).data)) as shard:
            for member in shard:
                if member.name.endswith(".json"):
                    document = shard.extractfile(member)
                    assert document is not None
                    yield json.load(document)["source_sha256"]


def _ingest(videos: Path, root: Path) -> DatasetRef:
    """The answer of an ingest in another process; where that ends badly, which files do it."""
    trouble, lines = _run(videos, root)
    if trouble is None:
        return DatasetRef.model_validate_json(lines[-1])
    guilty = []
    for index, path in enumerate(sorted(videos.iterdir()) if lines else ()):
        said, _ = _run(path, root.with_name(f"alone-{index}"))
        if said and "has no clip" not in said:
            guilty.append(f"{path}: {said}")
    pytest.fail(f"{trouble}; last said {lines[-1:]}; alone: {guilty or 'none of them'}")


def _run(videos: Path, root: Path) -> tuple[str | None, list[str]]:
    """What went wrong, and the lines that it printed. No line for too long is a hang."""
    command = [sys.executable, str(_SCRIPT), str(videos), str(root), str(_DEADLINE_S)]
    with (
        open(root.with_suffix(".log"), "wb+") as log,  # noqa: PTH123 - plain
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        lines: list[str] = []
        try:
            lines.extend(_lines(process.stdout))  # what came before an error stays
            status = process.wait(_DEADLINE_S)
        except queue.Empty:
            process.kill()
            return f"no sign of life for {_DEADLINE_S:g} s", lines
        log.seek(0)
        said = log.read()[-1000:].decode(errors="replace")
    return (f"exit status {status}: {said}" if status else None), lines


def _lines(stream: IO[str] | Any) -> Iterator[str]:
    """Lines as they come. Raises `queue.Empty` where none comes in time."""
    arrived: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in stream:
            arrived.put(line)
        arrived.put(None)

    threading.Thread(target=read, daemon=True).start()
    timeout_s = _START_S
    while (line := arrived.get(timeout=timeout_s)) is not None:
        timeout_s = 2 * _DEADLINE_S
        yield line.strip()
