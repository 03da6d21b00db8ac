"""Makes video files of any kind with PyAV."""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

Write = Callable[..., Path]


def _write(  # noqa: PLR0913 - what a file can be like
    path: Path,
    frames: np.ndarray,
    *,
    codec: str = "libx264",
    layout: str = "yuv420p",
    rate: int = 10,
    pts: Sequence[int] | None = None,
    context: Mapping[str, Any] | None = None,
    options: Mapping[str, str] | None = None,
) -> Path:
    """Frames (t h w c) RGB as a file; `pts` in hundredths of a second, `context` of the codec."""
    settings = {"crf": "6", "bf": "0"} if codec == "libx264" else {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options={**settings, **(options or {})})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = layout
        if pts is not None:
            stream.codec_context.time_base = Fraction(1, 100)
        for name, value in (context or {}).items():
            setattr(stream.codec_context, name, value)
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame = frame.reformat(format=layout)
            frame.pts = pts[index] if pts is not None else index
            frame.time_base = Fraction(1, 100) if pts is not None else Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def write() -> Write:
    """See `_write`."""
    return _write


def _grays(num: int, height: int = 32, width: int = 32) -> np.ndarray:
    """Frames (t h w c) that tell their number by their level: 20, 27, 34 and so on."""
    levels = (20 + 7 * (np.arange(num) % 30)).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (num, height, width, 3))


@pytest.fixture
def grays() -> Callable[..., np.ndarray]:
    """See `_grays`."""
    return _grays
