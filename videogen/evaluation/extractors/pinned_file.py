"""A file by path or URL that must have a certain sha256; what comes from a URL is kept."""

import hashlib
import http.client
import tempfile
import urllib.request
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final
from urllib.parse import urlsplit

from videogen.errors import EvaluationError
from videogen.progress import Progress, ProgressEvent, silent

_CHUNK_BYTES: Final = 1 << 20
_TIMEOUT_S: Final = 60.0
_REPORT_BYTES: Final = 16 << 20


def fetch_pinned(source: str, sha256: str, directory: Path, progress: Progress = silent) -> Path:
    """A local file of that hash: `source` itself, or what its http(s) URL gives.

    A download ends in `directory` whole or not at all, under its hash; one that is there already
    is not repeated, a damaged one is.

    Raises:
        EvaluationError: the file cannot be had, or has another hash; both are named.
    """
    if not source.startswith(("https://", "http://")):
        return _checked(Path(source), sha256)
    target = directory / f"{sha256}{PurePosixPath(urlsplit(source).path).suffix}"
    if target.exists() and sha256_of(target) == sha256:
        return target
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=directory) as scratch:
            partial = Path(scratch) / target.name
            with partial.open("wb") as file:
                _download(source, file, progress)
            found = sha256_of(partial)
            if found != sha256:
                raise _wrong_hash(source, found, sha256)
            partial.replace(target)
    except (OSError, http.client.HTTPException) as error:
        raise EvaluationError(
            f"cannot fetch {source} to {directory}: {error}; check the network and the room there, "
            "or download it yourself and give its path"
        ) from error
    return target


def sha256_of(path: Path) -> str:
    """Of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checked(path: Path, sha256: str) -> Path:
    try:
        found = sha256_of(path)
    except OSError as error:
        raise EvaluationError(
            f"cannot read the extractor's file {path}: {error.strerror or error}; give a file that "
            "every worker can read, or an https:// URL"
        ) from error
    if found != sha256:
        raise _wrong_hash(str(path), found, sha256)
    return path


def _download(url: str, file: BinaryIO, progress: Progress) -> None:
    """Raises `OSError` where the server cannot be reached, refuses, or stops half-way."""
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - http(s)
        total = int(answer.headers.get("Content-Length", 0)) or None
        done, reported = 0, -_REPORT_BYTES
        while chunk := answer.read(_CHUNK_BYTES):
            file.write(chunk)
            done += len(chunk)
            if done - reported >= _REPORT_BYTES:
                progress(ProgressEvent("weights", done, total, "bytes", f"downloading {url}"))
                reported = done
    if total is not None and done < total:
        raise OSError(f"the connection ended after {done:,} of {total:,} bytes")
    progress(ProgressEvent("weights", done, done, "bytes", f"downloaded {url}"))


def _wrong_hash(name: str, found: str, expected: str) -> EvaluationError:
    return EvaluationError(
        f"{name} has sha256 {found}, expected {expected}: give the file that the config means, or "
        "the sha256 of this one"
    )
