"""Image sequences: one file for each frame, as renderers and scanners write them."""

import warnings
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
from PIL import Image, UnidentifiedImageError

from videogen.data.video.footage import Counts
from videogen.data.video.unusable import UnusableSourceError
from videogen.data.video.video_file import check_budget, limit, video_stream

IMAGE_EXTENSIONS = frozenset(
    f".{name}"
    for name in (
        *("png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff", "exr", "dpx"),
        *("tga", "ppm", "pgm", "jp2"),
    )
)
_LINEAR_LIGHT = ("exr",)
_MAX_DENOMINATOR = 1001


class ImageFiles:
    """Images in order, shown at a constant rate. Raises `UnusableSourceError`.

    An image that cannot be decoded is a corrupt frame. OpenEXR holds linear light, which is encoded
    as sRGB; what is brighter than 1 is clipped.
    """

    def __init__(self, paths: Sequence[Path], fps: float) -> None:
        if not paths:
            raise UnusableSourceError("empty", "image sequence", "it has no image")
        self._paths = paths
        self._rate = Fraction(fps).limit_denominator(_MAX_DENOMINATOR)
        self.counts = Counts()
        check_budget(self.name, *_size(paths[0]))

    @property
    def name(self) -> str:
        """The path of the first image."""
        return str(self._paths[0])

    @property
    def codec(self) -> str:
        """The kind of the first image."""
        return self._paths[0].suffix.lower().removeprefix(".")

    @property
    def rate(self) -> Fraction:
        """Frames a second, as configured."""
        return self._rate

    @property
    def duration_s(self) -> float:
        """Of all images."""
        return float(len(self._paths) / self._rate)

    @property
    def pixel_aspect(self) -> Fraction | None:
        """Not told."""
        return None

    def decoded(self) -> Iterator[tuple[float | None, av.VideoFrame]]:
        """Time and image; a damaged one leaves its time empty."""
        for index, path in enumerate(self._paths):
            self.counts.decoded += 1
            frame = _decode(path)
            if frame is None or frame.is_corrupt:
                self.counts.corrupt += 1
            else:
                yield float(index / self._rate), frame

    def check_whole(self) -> None:
        """Each image was counted as it was read."""

    def glimpses(self, places: int, run: int) -> Iterator[list[av.VideoFrame]]:
        """Runs of images from places that are spread over the sequence."""
        step = max(run, len(self._paths) // places, 1)
        for start in range(0, len(self._paths), step):
            frames = [_decode(path) for path in self._paths[start : start + run]]
            yield [frame for frame in frames if frame is not None]

    def skim(self, limit: int, every: int) -> Iterator[av.VideoFrame]:
        """Every so many of the first `limit` images."""
        for path in self._paths[:limit:every]:
            frame = _decode(path)
            if frame is not None:
                yield frame

    def close(self) -> None:
        """Files are open only while they are read."""


def _decode(path: Path) -> av.VideoFrame | None:
    """The image; None where it is damaged. A file object keeps FFmpeg from reading its name."""
    try:
        with path.open("rb") as file, av.open(file, "r") as container:
            stream = video_stream(str(path), container)
            limit(stream)
            if stream.codec_context.name in _LINEAR_LIGHT:
                options = stream.codec_context.options
                stream.codec_context.options = {**options, "apply_trc": "iec61966_2_1"}
            return next(container.decode(stream), None)
    except av.error.FFmpegError:
        return None
    except FileNotFoundError as error:
        raise UnusableSourceError("vanished", str(path), "the image is gone") from error
    except OSError as error:
        raise UnusableSourceError("unreadable", str(path), str(error.strerror)) from error


def _size(path: Path) -> tuple[int, int]:
    """Width and height by the image's header, before FFmpeg would decode it to find out."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return image.size
    except Image.DecompressionBombError as error:
        raise UnusableSourceError("too large", str(path), str(error)) from error
    except (UnidentifiedImageError, SyntaxError, ValueError):
        pass  # a kind that Pillow does not know
    except OSError as error:
        raise UnusableSourceError("unreadable", str(path), str(error.strerror or error)) from error
    frame = _decode(path)
    if frame is None:
        raise UnusableSourceError("corrupt", str(path), "its first image cannot be decoded")
    return frame.width, frame.height
