"""Exports: every frame arrives, nothing is overwritten, nothing half written stays."""

import gc
import json
import tarfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import webdataset
from PIL import Image
from small_dataset import FPS, build, frames_of, sha

from videogen.curation.export import INDEX, MARKER, ExportError, export
from videogen.curation.export_files import safe_name
from videogen.data.shards.frame_codec import read_frames
from videogen.data.shards.tar_shard import shard_key
from videogen.data.snapshots.snapshot import load_snapshot
from videogen.data.video.reader import probe, read_video
from videogen.errors import CorruptObjectError, DatasetError
from videogen.progress import silent

LABELS = ["cat", "dog", "cat", None, "dog", "cat"]


def index_of(directory: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (directory / INDEX).read_text().splitlines()]


def files_below(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir()}


def samples_of(tars: list[str], *decoders: object) -> list[dict[str, object]]:
    """What the webdataset library reads; it leaves its files to the garbage collector."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        samples = list(webdataset.WebDataset(tars, shardshuffle=False).decode(*decoders))
        gc.collect()
    return samples


@pytest.mark.parametrize(("codec", "extension"), [("raw", "png"), ("jpeg", "jpg")])
def test_webdataset_tars_hold_every_frame_under_names_that_the_library_decodes(
    tmp_path: Path, codec: str, extension: str
) -> None:
    store, snapshot = build(tmp_path, LABELS, codec)
    out = tmp_path / "out"
    exported = export(store, snapshot, "webdataset", out, silent)
    assert (exported.clips, exported.frames, exported.files) == (6, 36, 2)
    tars = sorted(str(path) for path in out.glob("*.tar"))
    assert [Path(tar).name for tar in tars] == ["holdout-000000.tar", "train-000000.tar"]
    samples = samples_of(tars, "rgb8")
    rows = {row.clip_id: row for row in snapshot.rows()}
    assert {sample["__key__"] for sample in samples} == set(rows)
    for sample in samples:
        index = next(i for i in range(6) if sha(f"clip {i}") == sample["__key__"])
        frames = np.stack([sample[f"{number:05d}.{extension}"] for number in range(6)])
        worst = np.abs(frames.astype(int) - frames_of(index)).max()
        assert worst == 0 if codec == "raw" else worst <= 6
        assert sample["json"]["label"] == LABELS[index]
        assert sample["json"]["source"] == rows[sample["__key__"]].source
        assert sample["json"]["decisions"]["width"] == 1280


@pytest.mark.parametrize("codec", ["raw", "jpeg"])
def test_the_webdataset_library_reads_the_shards_themselves(tmp_path: Path, codec: str) -> None:
    _, snapshot = build(tmp_path, LABELS, codec)
    rows = snapshot.rows()
    shards = sorted({str(tmp_path / "store" / shard_key("d", row.shard)) for row in rows})
    assert len(shards) > 1 or codec == "jpeg"

    def frames(key: str, data: bytes) -> object:
        return read_frames(data) if key.endswith(".frames") else None

    samples = samples_of(shards, frames)
    assert sorted(sample["__key__"] for sample in samples) == [row.clip_id for row in rows]
    for sample in samples:
        assert sample["json"]["fps"] == FPS
        index = next(i for i in range(6) if sha(f"clip {i}") == sample["__key__"])
        worst = np.abs(sample["frames"].astype(int) - frames_of(index)).max()
        assert worst == 0 if codec == "raw" else worst <= 6


def test_stored_jpegs_are_copied_bit_by_bit(tmp_path: Path) -> None:
    store, snapshot = build(tmp_path, ["a"], "jpeg")
    (row,) = snapshot.rows()
    export(store, snapshot, "frames", tmp_path / "out", silent)
    shard = store.get(shard_key("d", row.shard)).data
    for path in (tmp_path / "out").rglob("*.jpg"):
        assert path.read_bytes() in shard


def test_frames_are_folders_of_images_in_order(tmp_path: Path) -> None:
    store, snapshot = build(tmp_path, LABELS)
    out = tmp_path / "out"
    export(store, snapshot, "frames", out, silent, split="train")
    folders = sorted((out / "train").iterdir())
    assert not (out / "holdout").exists()
    assert {folder.name for folder in folders} == {sha(f"clip {i}") for i in (0, 1, 3, 4)}
    for index in (0, 1, 3, 4):
        paths = sorted((out / "train" / sha(f"clip {index}")).iterdir())
        assert [path.name for path in paths] == [f"{number:05d}.png" for number in range(6)]
        pixels = np.stack([np.asarray(Image.open(path)) for path in paths])
        assert np.array_equal(pixels, frames_of(index))


def test_mp4s_lie_in_a_folder_a_label_and_play_what_was_ingested(tmp_path: Path) -> None:
    store, snapshot = build(tmp_path, LABELS)
    out = tmp_path / "out"
    export(store, snapshot, "mp4", out, silent)
    listed = index_of(out)
    assert {Path(str(one["file"])).parent.as_posix() for one in listed} == {
        "train/cat", "train/dog", "train/unlabelled", "holdout/cat"
    }  # fmt: skip
    for one in listed:
        path = out / str(one["file"])
        assert probe(path).fps == FPS
        frames = np.stack(list(read_video(path)))
        index = next(i for i in range(6) if sha(f"clip {i}") == one["clip_id"])
        assert frames.shape == (6, 16, 24, 3)
        assert np.abs(frames.astype(int) - frames_of(index)).mean() < 3


HOSTILE = [
    "../../outside",
    "/etc/passwd",
    "a/b",
    "$(touch x)",
    "new\nline",
    "nul\0",
    "x" * 300,
    ".hidden",
    "..",
    "",
    "CON",
    "ﬁlm ünïcode 映画",
]


def test_no_label_leads_outside_the_directory(tmp_path: Path) -> None:
    store, snapshot = build(tmp_path, HOSTILE)
    out = tmp_path / "deep" / "out"
    export(store, snapshot, "mp4", out, silent)
    made = files_below(tmp_path / "deep")
    assert len(made) == len(HOSTILE) + 2
    assert all(len(Path(name).parts) == 4 for name in made if name.endswith(".mp4"))
    assert {path.name for path in tmp_path.iterdir()} == {"deep", "store"} | {
        path.name for path in tmp_path.glob("shard-*")
    }


def test_different_labels_have_different_names_and_plain_ones_keep_theirs() -> None:
    names = [safe_name(label) for label in [*HOSTILE, "a_b", "a b", "a\tb"]]
    assert len(set(names)) == len(names)
    assert all(1 <= len(name.encode()) <= 100 and "/" not in name for name in names)
    assert not any(name.startswith(".") for name in names)
    assert safe_name("cats and dogs-2.0") == "cats and dogs-2.0"
    assert safe_name("映画") == "映画"


def test_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    store, snapshot = build(tmp_path, LABELS)
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("precious")
    with pytest.raises(ExportError, match="nothing there is overwritten"):
        export(store, snapshot, "mp4", out, silent)
    assert files_below(out) == {"mine.txt"}
    export(store, snapshot, "frames", tmp_path / "two", silent)
    before = files_below(tmp_path / "two")
    with pytest.raises(ExportError, match="no export of this snapshot, format and split"):
        export(store, snapshot, "frames", tmp_path / "two", silent, split="train")
    assert files_below(tmp_path / "two") == before


def test_an_interrupted_export_leaves_whole_files_and_goes_on_from_them(tmp_path: Path) -> None:
    store, snapshot = build(tmp_path, LABELS)
    out = tmp_path / "out"

    def interrupt(event: object) -> None:
        if event.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(store, snapshot, "frames", out, interrupt)
    folders = [path for path in out.glob("*/*") if path.is_dir()]
    assert 2 <= len(folders) < 6
    assert all(len(list(folder.iterdir())) == 6 for folder in folders)
    assert not any("part" in name for name in files_below(out))
    assert not (out / INDEX).exists()
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    (out / "train" / ".part-killed").mkdir()
    (out / "train" / ".part-killed" / "00000.png").write_bytes(b"half")

    exported = export(store, snapshot, "frames", out, silent)
    assert exported.files == 6
    assert exported.new_files == 6 - len(folders)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(files_below(out)) == 36 + 2
    assert (out / MARKER).exists()


def test_a_damaged_clip_is_not_exported(tmp_path: Path) -> None:
    store, snapshot = build(tmp_path, ["a"])
    (row,) = snapshot.rows()
    key = shard_key("d", row.shard)
    data = bytearray(store.get(key).data)
    data[row.offset + 200] ^= 1
    store.put(key, bytes(data))
    with pytest.raises(CorruptObjectError, match=row.clip_id):
        export(store, snapshot, "webdataset", tmp_path / "out", silent)
    assert files_below(tmp_path / "out") == {MARKER}


def test_an_export_of_no_clip_is_refused(tmp_path: Path) -> None:
    store, snapshot = build(tmp_path, ["a", "b"])
    with pytest.raises(DatasetError, match="no clip in split holdout"):
        export(store, snapshot, "mp4", tmp_path / "out", silent, split="holdout")
    assert not (tmp_path / "out").exists()


def test_tars_are_cut_before_they_grow_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("videogen.curation.export._TAR_BYTES", 15_000)
    store, snapshot = build(tmp_path, LABELS)
    out = tmp_path / "out"
    exported = export(store, load_snapshot(store, "d", snapshot.digest), "webdataset", out, silent)
    names = sorted(path.name for path in out.glob("*.tar"))
    assert names == ["holdout-000000.tar", "train-000000.tar", "train-000001.tar"]
    assert exported.files == 3
    members = []
    for name in names:
        with tarfile.open(out / name) as tar:
            members += tar.getnames()
    assert len(members) == len(set(members)) == 6 * 7
