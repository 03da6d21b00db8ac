"""What every extractor is to its callers: uint8 clips in, float32 features out, clip by clip.

A clip's features depend on it alone, to the bit: a network only ever sees chunks of one fixed
number of clips, the last one filled up by repeating a clip, and the kernels of one shape compute
each clip of a chunk alike wherever it lies (tested). So batches, workers and their number do not
matter. Another processor, thread count or library version may differ in the last bits.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from videogen.errors import EvaluationError

Precision = Literal["fp32", "bf16"]
Device = Literal["cpu", "cuda"]
Clips = UInt8[np.ndarray, "n t h w c"]
Features = Float[np.ndarray, "n d"]


@dataclass(frozen=True)
class Extractor:
    """A network that is ready to run; calling it takes the features of clips."""

    name: str
    """`i3d`, or the name in the config: metrics are named after it."""
    sha256: str
    """Of the weights' file, as protocols name it."""
    precision: Precision
    device: Device
    chunk: int
    """Clips that the network sees at once: memory is bounded by it, whatever n is."""
    network: Callable[[UInt8[Tensor, "b t h w c"]], Float[Tensor, "b d"]]
    """From clips on `device`."""
    min_frames: int = 1

    def __call__(self, clips: Clips) -> Features:
        """Float32 features of each clip.

        Raises:
            EvaluationError: clips are too short, or a feature is not finite.
        """
        if clips.shape[1] < self.min_frames:
            raise EvaluationError(
                f"clips have {clips.shape[1]} frames; {self.name.upper()} needs at least "
                f"{self.min_frames}: use longer clips"
            )
        with torch.inference_mode(), exact_convolutions():
            found = [
                self._chunk(clips[start : start + self.chunk])
                for start in range(0, len(clips), self.chunk)
            ]
        features = np.concatenate(found)
        self._require_finite(features)
        return features

    def _chunk(self, clips: Clips) -> Features:
        places = np.minimum(np.arange(self.chunk), len(clips) - 1)
        filled = torch.from_numpy(np.ascontiguousarray(clips[places])).to(self.device)
        features = self.network(filled)[: len(clips)]
        if features.ndim != 2:  # noqa: PLR2004 - a matrix
            raise EvaluationError(
                f"extractor {self.name} answered with shape {tuple(features.shape)}, not (clips, "
                "features): use a model that gives one vector a clip"
            )
        return features.float().cpu().numpy()

    def _require_finite(self, features: Features) -> None:
        bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if len(bad):
            raise EvaluationError(
                f"extractor {self.name} ({self.precision} on {self.device}) gave features that are "
                f"not finite for {len(bad)} of {len(features)} clips, first for number {bad[0]}: "
                "set evaluate.precision=fp32, or check its weights"
            )


def best_device() -> Device:
    """Where networks run in this process."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def exact_convolutions() -> AbstractContextManager[None]:
    """Within it, convolutions on GPUs are repeatable, and fp32 is fp32 (PyTorch allows TF32)."""
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    return flags
