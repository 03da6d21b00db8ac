"""The files of an export: images, tars of images, and names that are safe anywhere."""

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from PIL import Image

from videogen.data.shards.frame_codec import read_frames, read_layout

Sample = tuple[str, Mapping[str, object], bytes]
"""Key, facts, and `.frames` member."""

_PNG_LEVEL = 3
"""Of zlib: within 2 % of the size of level 6, in a third of its time."""
_MAX_NAME_BYTES = 80
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


def safe_name(label: str) -> str:
    """A name for a folder, from any text: one component, portable, and different for each text.

    Letters and digits of any script, `-`, `_`, `.` and spaces stay; where anything has to change, a
    piece of the text's sha256 keeps two labels apart.
    """
    kept = "".join(letter if letter.isalnum() or letter in "-_. " else "_" for letter in label)
    kept = kept.strip(". ").encode("utf-8", "replace")[:_MAX_NAME_BYTES].decode("utf-8", "ignore")
    if kept and kept == label and not _RESERVED.fullmatch(kept):
        return kept
    digest = hashlib.sha256(label.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{kept}_{digest}"


def images(member: bytes) -> Iterator[tuple[str, bytes]]:
    """Each frame of a `.frames` member as `NNNNN.EXTENSION` and an image file's bytes.

    A stored JPEG is handed out as it is, raw pixels as PNG: no frame is encoded with loss again.
    Raises `CorruptObjectError`.
    """
    layout = read_layout(member)
    if layout.codec == "jpeg":
        for index in range(layout.num_frames):
            first, end = (layout.first_byte + layout.offsets[index + step] for step in (0, 1))
            yield f"{index:05d}.jpg", member[first:end]
        return
    for index, frame in enumerate(read_frames(member)):
        file = io.BytesIO()
        Image.fromarray(frame).save(file, format="PNG", compress_level=_PNG_LEVEL)
        yield f"{index:05d}.png", file.getvalue()


def write_images(directory: Path, member: bytes) -> None:
    """Make the folder and write the frames of a clip to it."""
    directory.mkdir()
    for name, data in images(member):
        (directory / name).write_bytes(data)


def write_tar(path: Path, samples: Iterable[Sample]) -> None:
    """Write samples as the `webdataset` library reads them: what shares a key lies together."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for key, facts, member in samples:
            _append(tar, f"{key}.json", json.dumps(facts).encode())
            for name, data in images(member):
                _append(tar, f"{key}.{name}", data)


def _append(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # its defaults: mode 0644, time 0, user and group 0
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
