"""Clips of a generator: video i of an evaluation depends on seed + i alone."""

import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal, cast

import numpy as np
from jaxtyping import UInt8

from videogen.artifacts import GeneratorRef
from videogen.config.evaluate import EvaluateConfig
from videogen.config.sections import StorageConfig
from videogen.data.shards.frame_codec import encode_clip, read_frames
from videogen.errors import EvaluationError
from videogen.evaluation.extractors.extractor import Device, exact_convolutions
from videogen.models.export import load_generator
from videogen.models.generator import VideoGenerator
from videogen.models.sampling import generate
from videogen.runs import manifest
from videogen.storage.connect import open_store

_GENERATOR: Final = "generator"
_CACHED_GENERATORS: Final = 2


@lru_cache(maxsize=_CACHED_GENERATORS)
def open_generator(
    storage: StorageConfig, reference: GeneratorRef, device: Device = "cpu"
) -> VideoGenerator:
    """The generator below a prefix with a manifest, each file verified; kept by this process.

    Raises:
        CorruptObjectError: a file is missing or is not what the manifest says.
        EvaluationError: the checkpoint holds no generator.
    """
    with tempfile.TemporaryDirectory(prefix="videogen-evaluate-") as scratch:
        directory = Path(scratch)
        store = open_store(storage)
        manifest.fetch(
            store, reference.prefix, reference.manifest_sha256, directory, below=f"{_GENERATOR}/"
        )
        if not (directory / _GENERATOR).is_dir():
            raise EvaluationError(
                f"{store.root}/{reference.prefix} holds no {_GENERATOR}/: it is no checkpoint that "
                "can be judged; train again"
            )
        generator, _ = load_generator(directory / _GENERATOR)
    return generator.eval().to(device)


def draw_fakes(
    generator: VideoGenerator, config: EvaluateConfig, indices: Sequence[int], codec: str
) -> UInt8[np.ndarray, "n t h w c"]:
    """Clips of the generator at the reals' stride, passed through the reals' frame codec."""
    with exact_convolutions():
        clips = generate(  # one at a time: in a batch, a pixel may be rounded otherwise
            generator,
            [config.seed + index for index in indices],
            config.num_frames,
            fps_ratio=float(config.frame_stride),
            batch_size=1,
        )
    if codec == "raw":
        return clips
    kind = cast("Literal['raw', 'jpeg']", codec)
    return np.stack([read_frames(encode_clip(clip, kind)) for clip in clips])
