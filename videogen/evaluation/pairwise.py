"""FVD of any two sets of clips: directories of videos, array files, or arrays in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

import numpy as np
from jaxtyping import Float, UInt8

from videogen.artifacts import Protocol
from videogen.config.settings import Settings
from videogen.errors import EvaluationError
from videogen.evaluation.clips.clip_files import ClipSet, Window, array_clips, open_clips
from videogen.evaluation.extractors.extractor import Extractor, best_device
from videogen.evaluation.extractors.i3d import NUM_LOGITS
from videogen.evaluation.extractors.opening import open_i3d
from videogen.evaluation.extractors.weights import EXTRACTOR, I3D_KINETICS, fetch_i3d, weights_dir
from videogen.evaluation.measure import bias_notes
from videogen.evaluation.metrics.frechet import Covariance, frechet_distance, frechet_influences
from videogen.evaluation.metrics.intervals import frechet_interval
from videogen.evaluation.protocol_name import ProtocolName
from videogen.progress import Progress, ProgressEvent, silent

_BATCH_SIZE: Final = 8

Clips = str | Path | UInt8[np.ndarray, "n t h w c"]
Logits = Float[np.ndarray, "n 400"]


@dataclass(frozen=True)
class PairProtocol:
    """What is asked for; None stands for all that there is."""

    num_clips: int | None = None
    """A side, chosen by the seed."""
    num_frames: int | None = None
    """Of each clip, from its first on. By default all of an array's; of videos as many as the array
    beside them has, else 16."""
    stride: int = 1
    seed: int = 0
    covariance: Covariance = "n-1"


@dataclass(frozen=True)
class Comparison:
    """What `videogen fvd A B --json` prints."""

    metric: str
    value: float
    num_a: int
    num_b: int
    """How many clips of each set the value was measured on."""
    floor: float | None
    """FVD of two disjoint sets from A, each as large as B's; None where A is too small."""
    interval: tuple[float, float]
    """95 %, of the mean value over sets of as many clips."""
    protocol: dict[str, object]
    notes: tuple[str, ...] = ()

    def document(self) -> dict[str, object]:
        """As JSON: `{metric, value, num_a, num_b, floor, interval, protocol}`."""
        keys = ("metric", "value", "num_a", "num_b", "floor", "interval")
        return {key: getattr(self, key) for key in keys} | {
            "protocol": self.protocol | {"notes": list(self.notes)}
        }


def fvd(
    a: Clips,
    b: Clips,
    settings: Settings,
    asked: PairProtocol = PairProtocol(),
    progress: Progress = silent,
) -> Comparison:
    """Frechet video distance between two sets of clips of the same size and length.

    Clips are read a few at a time, each once, in the order of the file.

    Args:
        a: the reference; a directory of videos, `FILE.npy`, `FILE.npz`, `FILE.npz:KEY`, or uint8
            frames `n t h w c`.
        b: what is compared with it, likewise.
        settings: where the extractor's weights are kept.
        asked: which clips and frames count, and how the distance is taken.
        progress: told of clips done, and of clips a second.

    Raises:
        EvaluationError: a set cannot be read or judged, the sets do not fit together, or the
            weights cannot be had.
    """
    clips_a, clips_b = _open_both(a, b, asked)
    num_b = min(asked.num_clips or clips_b.num, clips_b.num)
    num_a = min(asked.num_clips or clips_a.num, clips_a.num)
    has_floor = clips_a.num >= 2 * num_b
    order_a = _order(clips_a.num, asked.seed)[: max(num_a, 2 * num_b if has_floor else 0)]
    order_b = _order(clips_b.num, asked.seed)[:num_b]
    fetch_i3d(settings, progress)
    network = open_i3d(weights_dir(settings), device=best_device())
    count = _Count(progress, len(order_a) + len(order_b))
    known = _features(network, clips_a, order_a, count)
    fake = _features(network, clips_b, order_b, count)
    parts, influences = frechet_influences(known[:num_a], fake, asked.covariance)
    value = parts.distance(asked.covariance)
    floor = None
    if has_floor:
        floor = frechet_distance(known[:num_b], known[num_b : 2 * num_b], asked.covariance)
    protocol = _protocol((clips_a, num_a), (clips_b, num_b), asked)
    return Comparison(
        metric=protocol.name,
        value=value,
        num_a=num_a,
        num_b=num_b,
        floor=floor,
        interval=frechet_interval(value, influences),
        protocol=protocol.model_dump(mode="json"),
        notes=(
            *clips_a.notes,
            *clips_b.notes,
            *_notes(clips_a, clips_b, asked.num_clips),
            *(() if has_floor else (_no_floor(clips_a.num, num_b),)),
            *bias_notes(min(num_a, num_b), NUM_LOGITS, beside="floor"),
        ),
    )


def _order(num: int, seed: int) -> Sequence[int]:
    order: list[int] = np.random.default_rng(seed).permutation(num).tolist()
    return order


class _Count:
    """Clips done of both sets, and how many a second."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total = progress, total
        self._done, self._began = 0, monotonic()
        self.add(0)

    def add(self, num: int) -> None:
        """So many more are done."""
        self._done += num
        seconds = monotonic() - self._began
        values = {"clips/s": self._done / seconds} if self._done else {}
        self._progress(ProgressEvent("fvd", self._done, self._total, "clips", values=values))


def _features(network: Extractor, clips: ClipSet, order: Sequence[int], count: _Count) -> Logits:
    """Features of the clips in `order`, which are read in that of the file."""
    sequence = sorted(order)
    rows = []
    for batch in clips.batches(_BATCH_SIZE, sequence):
        rows.append(network(batch))
        count.add(len(batch))
    places = np.searchsorted(sequence, order)
    return np.concatenate(rows)[places]


def _open_both(a: Clips, b: Clips, asked: PairProtocol) -> tuple[ClipSet, ClipSet]:
    """Both sets, arrays first, so that videos take the length of an array beside them."""
    opened: dict[str, ClipSet] = {}
    window = Window(asked.num_frames, asked.stride)
    for name, clips in sorted({"A": a, "B": b}.items(), key=lambda item: _is_directory(item[1])):
        opened[name] = (
            open_clips(clips, window)
            if isinstance(clips, str | Path)
            else array_clips(name, clips, window)
        )
        if _is_directory(b if name == "A" else a):
            window = Window(opened[name].shape[0], asked.stride)
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


def _notes(a: ClipSet, b: ClipSet, num_clips: int | None) -> Sequence[str]:
    if num_clips is None:
        return ()
    return tuple(
        f"{num_clips} clips a side were asked for, {clips.name} has {clips.num}: all were used"
        for clips in (a, b)
        if clips.num < num_clips
    )


def _no_floor(num_a: int, num: int) -> str:
    return f"no floor: A has {num_a} clips; two disjoint sets of {num}, as of B, need {2 * num}"


def _protocol(a: tuple[ClipSet, int], b: tuple[ClipSet, int], asked: PairProtocol) -> Protocol:
    (clips_a, num_a), (clips_b, num_b) = a, b
    num_frames, height, width = clips_a.shape
    codecs = dict.fromkeys((clips_a.codec, clips_b.codec))
    return Protocol(
        name=str(ProtocolName(num_b, num_frames, asked.stride)),
        extractor=EXTRACTOR,
        extractor_sha256=I3D_KINETICS.member_sha256,
        num_real=num_a,
        num_fake=num_b,
        num_frames=num_frames,
        frame_stride=asked.stride,
        height=height,
        width=width,
        seed=asked.seed,
        covariance=asked.covariance,
        frame_codec=" and ".join(codecs),
    )
