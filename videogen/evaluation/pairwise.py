"""FVD of any two sets of clips: directories of videos, array files, or arrays in memory."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float, UInt8

from videogen.artifacts import Protocol
from videogen.config.settings import Settings
from videogen.errors import EvaluationError
from videogen.evaluation.clip_files import ClipSet, array_clips, open_clips
from videogen.evaluation.extractors.i3d import I3D, load_network, logits
from videogen.evaluation.extractors.weights import EXTRACTOR, I3D_KINETICS, fetch_i3d
from videogen.evaluation.metrics.frechet import Covariance, frechet_distance
from videogen.progress import Progress, ProgressEvent, silent

_BATCH_SIZE: Final = 8

Clips = str | Path | UInt8[np.ndarray, "n t h w c"]


@dataclass(frozen=True)
class Comparison:
    """What `videogen fvd A B --json` prints."""

    metric: str
    value: float
    num_a: int
    num_b: int
    floor: float | None
    """FVD of two disjoint sets from A, each as large as B; None where A is too small."""
    protocol: dict[str, object]
    notes: tuple[str, ...] = ()

    def document(self) -> dict[str, object]:
        """As JSON: `{metric, value, num_a, num_b, floor, protocol}`."""
        keys = ("metric", "value", "num_a", "num_b", "floor")
        return {key: getattr(self, key) for key in keys} | {
            "protocol": self.protocol | {"notes": list(self.notes)}
        }


def fvd(  # noqa: PLR0913 - the protocol is the options
    a: Clips,
    b: Clips,
    settings: Settings,
    *,
    num_frames: int | None = None,
    seed: int = 0,
    covariance: Covariance = "n-1",
    progress: Progress = silent,
) -> Comparison:
    """Frechet video distance between two sets of clips of the same size and length.

    Args:
        a: the reference; a directory of videos, `FILE.npy`, `FILE.npz`, `FILE.npz:KEY`, or uint8
            frames `n t h w c`.
        b: what is compared with it, likewise.
        settings: where the extractor's weights are kept.
        num_frames: how many frames of each clip count, from its first on. By default all of an
            array's; of videos as many as the array beside them has, else 16.
        seed: of the split of A for the floor.
        covariance: divisor of the covariances.
        progress: told of clips done.

    Raises:
        EvaluationError: a set cannot be read or judged, the sets do not fit together, or the
            weights cannot be had.
    """
    clips_a, clips_b = _open_both(a, b, num_frames)
    network = load_network(fetch_i3d(settings, progress))
    total = clips_a.num + clips_b.num
    features_a = _features(network, clips_a, lambda done: _tell(progress, done, total))
    features_b = _features(
        network, clips_b, lambda done: _tell(progress, clips_a.num + done, total)
    )
    floor, floor_note = _floor(features_a, len(features_b), seed, covariance)
    protocol = _protocol(clips_a, clips_b, seed, covariance)
    return Comparison(
        metric=protocol.name,
        value=frechet_distance(features_a, features_b, covariance),
        num_a=len(features_a),
        num_b=len(features_b),
        floor=floor,
        protocol=protocol.model_dump(mode="json"),
        notes=(*clips_a.notes, *clips_b.notes, *floor_note),
    )


def _features(
    network: I3D, clips: ClipSet, told: Callable[[int], None]
) -> Float[np.ndarray, "n 400"]:
    rows = []
    for batch in clips.batches(_BATCH_SIZE):
        rows.append(logits(network, batch))
        told(sum(map(len, rows)))
    return np.concatenate(rows)


def _tell(progress: Progress, done: int, total: int) -> None:
    progress(ProgressEvent("fvd", done, total, "clips"))


def _open_both(a: Clips, b: Clips, num_frames: int | None) -> tuple[ClipSet, ClipSet]:
    """Both sets, arrays first, so that videos take the length of an array beside them."""
    opened: dict[str, ClipSet] = {}
    length = num_frames
    for name, clips in sorted({"A": a, "B": b}.items(), key=lambda item: _is_directory(item[1])):
        opened[name] = (
            open_clips(clips, length)
            if isinstance(clips, str | Path)
            else array_clips(name, clips, length)
        )
        if _is_directory(b if name == "A" else a):
            length = opened[name].shape[0]
    left, right = opened["A"], opened["B"]
    if left.shape != right.shape:
        raise EvaluationError(
            f"{left.name} has clips of {_spelled(left)}, {right.name} of {_spelled(right)}: "
            "both sets need the same length and size"
        )
    return left, right


def _is_directory(clips: Clips) -> bool:
    return isinstance(clips, str | Path) and Path(clips).is_dir()


def _spelled(clips: ClipSet) -> str:
    frames, height, width = clips.shape
    return f"{frames} frames at {height}x{width}"


def _floor(
    features: Float[np.ndarray, "n d"], num: int, seed: int, covariance: Covariance
) -> tuple[float | None, tuple[str, ...]]:
    if len(features) < 2 * num:
        note = (
            f"no floor: A has {len(features)} clips; two disjoint sets as large as B need {2 * num}"
        )
        return None, (note,)
    order = np.random.default_rng(seed).permutation(len(features))
    return frechet_distance(features[order[:num]], features[order[num : 2 * num]], covariance), ()


def _protocol(a: ClipSet, b: ClipSet, seed: int, covariance: Covariance) -> Protocol:
    num_frames, height, width = a.shape
    return Protocol(
        name=f"fvd{b.num}_{num_frames}f",
        extractor=EXTRACTOR,
        extractor_sha256=I3D_KINETICS.member_sha256,
        num_real=a.num,
        num_fake=b.num,
        num_frames=num_frames,
        frame_stride=1,
        height=height,
        width=width,
        seed=seed,
        covariance=covariance,
        frame_codec=a.codec if a.codec == b.codec else f"{a.codec} and {b.codec}",
    )
