"""The shard format: any tar tool reads it, and offsets lead to the frames."""

import hashlib
import json
import struct
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from videogen.data.shards.frame_codec import (
    Codec,
    choose_codec,
    encode_clip,
    read_frames,
    read_layout,
)
from videogen.data.shards.tar_shard import (
    Placed,
    ShardWriter,
    Written,
    read_clip,
    read_clip_bytes,
    shard_key,
)
from videogen.data.video.synthetic import sample_clip
from videogen.errors import CorruptObjectError, DatasetError
from videogen.storage.local import LocalStore


@dataclass(frozen=True)
class Place:
    clip_id: str
    shard: str
    offset: int
    length: int
    sha256: str

    @classmethod
    def of(cls, written: Written, clip: Placed) -> "Place":
        return cls(clip.clip_id, written.sha256, clip.offset, clip.length, clip.sha256)


def pack(directory: Path, num: int = 3, max_bytes: int = 1 << 26) -> list[Written]:
    directory.mkdir(exist_ok=True)
    with ShardWriter(directory, max_bytes) as writer:
        finished = []
        for seed in range(num):
            facts = {"clip_id": f"{seed:064x}", "frames": 8}
            finished.append(
                writer.add(f"{seed:064x}", facts, encode_clip(sample_clip(seed, 8), "raw"))
            )
        return [one for one in (*finished, writer.finish()) if one is not None]


@pytest.mark.parametrize("codec", ["raw", "jpeg"])
def test_a_window_is_those_frames_of_the_clip(codec: Codec) -> None:
    frames = sample_clip(2, 20)
    data = encode_clip(frames, codec)
    whole = read_frames(data)
    assert np.abs(whole.astype(int) - frames).max() <= (0 if codec == "raw" else 24)
    assert np.abs(whole.astype(int) - frames).mean() < 1
    for start, stride, num in ((0, 1, 20), (3, 2, 5), (19, 1, 1), (0, 19, 2)):
        window = read_frames(data, start, stride, num)
        assert np.array_equal(window, whole[start::stride][:num])
    for start, stride, num in ((0, 1, 21), (20, 1, 1), (-1, 1, 1), (10, 2, 6), (0, 1, 0)):
        with pytest.raises(ValueError, match="of a clip of 20"):
            read_frames(data, start, stride, num)


def test_a_window_of_jpeg_decodes_no_other_frame() -> None:
    data = bytearray(encode_clip(sample_clip(2, 8), "jpeg"))
    layout = read_layout(data)
    broken = layout.first_byte + layout.offsets[7]
    data[broken : broken + 2] = b"xx"
    assert read_frames(data, 0, 1, 7).shape == (7, 64, 64, 3)
    with pytest.raises(CorruptObjectError, match="JPEG"):
        read_frames(data)


def test_the_head_is_as_documented() -> None:
    data = encode_clip(sample_clip(0, 3, 16), "raw")
    head = struct.unpack_from("<8sHBcIIII", data)
    assert head == (b"VGFRAMES", 1, 0, b"<", 3, 16, 16, 3)
    offsets = struct.unpack_from("<4I", data, 28)
    assert offsets == (0, 768, 1536, 2304)
    assert len(data) == 28 + 16 + 2304


def test_damaged_and_newer_clips_are_told_apart() -> None:
    data = encode_clip(sample_clip(0, 3, 16), "raw")
    for damaged in (b"", data[:20], data[:40], data[:-1], data + b"x", b"X" + data[1:]):
        with pytest.raises(CorruptObjectError):
            read_frames(damaged)
    with pytest.raises(DatasetError, match=r"format 2.*update videogen"):
        read_frames(data[:8] + b"\x02" + data[9:])


@pytest.mark.parametrize(
    ("asked", "size", "codec"),
    [("auto", 64, "raw"), ("auto", 65, "jpeg"), ("raw", 256, "raw"), ("jpeg", 32, "jpeg")],
)
def test_codec_auto_is_raw_for_small_frames(
    asked: Literal["auto", "raw", "jpeg"], size: int, codec: str
) -> None:
    assert choose_codec(asked, size, size) == codec
    assert choose_codec(asked, 8, size) == codec


def test_any_tar_tool_reads_a_shard(tmp_path: Path) -> None:
    (written,) = pack(tmp_path)
    with tarfile.open(written.path) as tar:
        names = tar.getnames()
        assert names == [f"{seed:064x}.{kind}" for seed in range(3) for kind in ("json", "frames")]
        facts = tar.extractfile(names[2])
        frames = tar.extractfile(names[3])
        assert facts is not None
        assert frames is not None
        assert json.load(facts)["clip_id"] == f"{1:064x}"
        assert np.array_equal(read_frames(frames.read()), sample_clip(1, 8))


def test_a_shard_is_a_function_of_its_clips_and_named_by_its_content(tmp_path: Path) -> None:
    (one,), (two,) = pack(tmp_path / "a"), pack(tmp_path / "b")
    assert one.path.read_bytes() == two.path.read_bytes()
    assert one.sha256 == hashlib.sha256(one.path.read_bytes()).hexdigest()


def test_shards_keep_below_their_size(tmp_path: Path) -> None:
    limit = 400_000
    shards = pack(tmp_path, num=20, max_bytes=limit)
    assert len(shards) > 3
    assert all(shard.path.stat().st_size <= limit for shard in shards)
    assert [clip.clip_id for shard in shards for clip in shard.clips] == [
        f"{seed:064x}" for seed in range(20)
    ]


def test_a_clip_larger_than_a_shard_has_one_of_its_own(tmp_path: Path) -> None:
    assert [len(shard.clips) for shard in pack(tmp_path, max_bytes=1 << 16)] == [1, 1, 1]


def test_offsets_lead_to_the_frames_and_to_a_window_of_them(tmp_path: Path) -> None:
    (written,) = pack(tmp_path)
    store = LocalStore(tmp_path / "store")
    store.upload(shard_key("d", written.sha256), written.path)
    for seed, clip in enumerate(written.clips):
        place = Place.of(written, clip)
        assert np.array_equal(read_clip(store, "d", place), sample_clip(seed, 8))
        data = read_clip_bytes(store, "d", place)
        assert np.array_equal(read_frames(data, 2, 3, 2), sample_clip(seed, 8)[2:8:3])


def test_one_wrong_bit_is_found_and_named(tmp_path: Path) -> None:
    (written,) = pack(tmp_path)
    data = bytearray(written.path.read_bytes())
    data[written.clips[1].offset + 5000] ^= 1
    store = LocalStore(tmp_path / "store")
    store.put(shard_key("d", written.sha256), bytes(data))
    with pytest.raises(CorruptObjectError, match=f"{1:064x}.*{written.sha256}"):
        read_clip(store, "d", Place.of(written, written.clips[1]))
    assert read_clip(store, "d", Place.of(written, written.clips[2])).shape == (8, 64, 64, 3)
