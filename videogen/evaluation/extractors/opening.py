"""Extractors by what the config says of them, their files fetched and checked, once per process."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from videogen.config.evaluate import ExtractorConfig
from videogen.config.settings import Settings
from videogen.evaluation.extractors.extractor import Device, Extractor, Precision
from videogen.evaluation.extractors.i3d import i3d_extractor
from videogen.evaluation.extractors.pinned_file import fetch_pinned
from videogen.evaluation.extractors.torchscript import torchscript_extractor
from videogen.evaluation.extractors.videomae import videomae_extractor
from videogen.evaluation.extractors.weights import I3D_KINETICS, fetch, fetch_i3d, weights_dir
from videogen.progress import Progress, silent


def fetch_extractors(
    wanted: Iterable[ExtractorConfig], settings: Settings, progress: Progress = silent
) -> None:
    """Have I3D's weights and every other file on this machine, each checked by its hash.

    Raises:
        EvaluationError: a file cannot be had, or is not the pinned one.
    """
    fetch_i3d(settings, progress)
    for one in wanted:
        fetch_pinned(one.path, one.sha256, weights_dir(settings), progress)


@cache
def open_i3d(directory: Path, precision: Precision = "fp32", device: Device = "cpu") -> Extractor:
    """I3D, whose weights are kept in a directory (`weights_dir`); named `i3d`.

    Raises:
        EvaluationError: the weights cannot be had, or are damaged.
    """
    return i3d_extractor(fetch(I3D_KINETICS, directory), precision, device)


@cache
def open_extractor(
    wanted: ExtractorConfig,
    directory: Path,
    precision: Precision = "fp32",
    device: Device = "cpu",
) -> Extractor:
    """An extractor beside I3D; what its URL gives is kept in the directory.

    Raises:
        EvaluationError: the file cannot be had, is not the pinned one, or holds no such model.
    """
    path = fetch_pinned(wanted.path, wanted.sha256, directory)
    build = torchscript_extractor if wanted.kind == "torchscript" else videomae_extractor
    return build(wanted, path, precision, device)
