"""Footage for benchmarks: an H.264 file that costs a decoder what filmed video costs it.

A picture with about the spectrum of natural images (amplitude 1/f, Field 1987, softened as by a
lens), seen by a camera that pans, zooms and sways by fractions of a pixel, with textured things
moving in front and grain over all. What decides the cost of the stream (bit rate, references,
B-frames, keyframes) is fixed here, and is that of 720p as it is streamed.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from videogen.errors import VideogenError

Plane = NDArray[np.uint8]

_MARGIN = 1.35
"""How much larger than the frame a scene's picture is, so that the camera has where to go."""
_THINGS = 3
_GRAIN_LEVELS = 0.8
_FALL = 1.3
_BIT_RATE = 2_500_000
_KEYFRAME_INTERVAL_S = 4
_FREE_BOX = b"free"


@dataclass(frozen=True)
class Footage:
    """What to generate; a pure function of these values, up to the encoder's version."""

    width: int = 1280
    height: int = 720
    fps: int = 24
    scene_seconds: tuple[int, ...] = (5, 3, 4, 6, 3, 4)
    """Length of each scene; hard cuts lie between them."""
    seed: int = 0

    @property
    def num_frames(self) -> int:
        """Of the whole file."""
        return self.fps * sum(self.scene_seconds)


def write_footage(path: Path, footage: Footage) -> None:
    """Write the file: MP4, H.264 high profile at about 2.5 Mbit/s for 720p, B-frames, 4:2:0.

    Raises `VideogenError` where it cannot be written.
    """
    share = footage.width * footage.height / (1280 * 720)
    options = {"preset": "fast", "threads": "2", "bf": "3", "refs": "3"}
    try:
        with av.open(str(path), "w", format="mp4") as container:
            rate = Fraction(footage.fps)
            stream = container.add_stream("libx264", rate=rate, options=options)
            stream.width, stream.height, stream.pix_fmt = footage.width, footage.height, "yuv420p"
            stream.bit_rate = round(_BIT_RATE * share)
            stream.gop_size = _KEYFRAME_INTERVAL_S * footage.fps
            stream.codec_context.colorspace = 1  # BT.709, limited range
            stream.codec_context.color_range = 1
            for index, pixels in enumerate(_frames(footage)):
                frame = av.VideoFrame.from_ndarray(pixels, format="yuv420p")
                frame.pts, frame.time_base = index, 1 / rate
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except (OSError, av.error.FFmpegError) as error:
        raise VideogenError(
            f"cannot write {path}: {error.strerror or error}: set TMPDIR to a directory with room"
        ) from error


def write_twin(path: Path, original: Path, number: int) -> None:
    """Write the same video as another file, of another size, as footage is.

    An MP4 box that readers skip is as many bytes longer as the number says.
    """
    content = bytes(8 + number)
    box = (8 + len(content)).to_bytes(4, "big") + _FREE_BOX + content
    try:
        with original.open("rb") as source, path.open("wb") as target:
            while chunk := source.read(1 << 20):
                target.write(chunk)
            target.write(box)
            target.flush()
            os.fsync(target.fileno())
    except OSError as error:
        raise VideogenError(
            f"cannot write {path}: {error.strerror or error}: set TMPDIR to a directory with room"
        ) from error


def _frames(footage: Footage) -> Iterator[Plane]:
    """Frames as PyAV takes 4:2:0: uint8 (3h/2, w), luma above the two chroma planes."""
    rng = np.random.default_rng([footage.seed, footage.width, footage.height])
    for seconds in footage.scene_seconds:
        yield from _Scene(footage, rng).frames(seconds * footage.fps)


class _Scene:
    """One shot: a still world, a camera, and things that move."""

    def __init__(self, footage: Footage, rng: np.random.Generator) -> None:
        self._height, self._width, self._fps = footage.height, footage.width, footage.fps
        size = (round(_MARGIN * footage.height), round(_MARGIN * footage.width))
        mean = rng.uniform(80, 150)
        self._luma = _natural(rng, size, mean, 45)
        self._chroma = [
            _natural(rng, (size[0] // 2, size[1] // 2), rng.uniform(116, 140), 8) for _ in range(2)
        ]
        self._drift = rng.uniform(-0.03, 0.03, size=2) * footage.width  # pixels a second
        self._zoom = rng.uniform(-0.012, 0.012)  # a second
        self._phase = rng.uniform(0, 2 * math.pi, size=2)
        self._things = [_Thing(footage, rng) for _ in range(_THINGS)]
        shape = (footage.height + 64, footage.width + 64)
        self._grain = np.rint(rng.normal(0, _GRAIN_LEVELS, shape)).astype(np.int16)
        self._rng = rng

    def frames(self, number: int) -> Iterator[Plane]:
        height, width = self._height, self._width
        for index in range(number):
            time_s = index / self._fps
            frame = np.empty((height * 3 // 2, width), dtype=np.uint8)
            luma = self._seen(self._luma, time_s, 1).astype(np.int16)
            for thing in self._things:
                thing.draw(luma, time_s)
            y, x = self._rng.integers(0, 64, size=2)
            luma += self._grain[y : y + height, x : x + width]
            np.clip(luma, 16, 235, out=luma)
            frame[:height] = luma
            chroma = [self._seen(plane, time_s, 2) for plane in self._chroma]
            frame[height:] = np.concatenate(chroma).reshape(height // 2, width)
            yield frame

    def _seen(self, world: Image.Image, time_s: float, step: int) -> Plane:
        """The part of a plane that the camera sees; `step` 2 for a subsampled plane."""
        zoom = 1 + self._zoom * time_s
        angle = 0.004 * math.sin(1.3 * time_s + self._phase[0])
        sway = 1.5 * math.sin(2.1 * time_s + self._phase[1])
        cosine, sine = math.cos(angle) * zoom, math.sin(angle) * zoom
        width, height = self._width // step, self._height // step
        middle = (
            world.width / 2 + (self._drift[0] * time_s + sway) / step,
            world.height / 2 + (self._drift[1] * time_s + sway) / step,
        )
        left = middle[0] - cosine * width / 2 + sine * height / 2
        top = middle[1] - sine * width / 2 - cosine * height / 2
        seen = world.transform(
            (width, height),
            Image.Transform.AFFINE,
            (cosine, -sine, left, sine, cosine, top),
            Image.Resampling.BILINEAR,
        )
        return np.asarray(seen, dtype=np.uint8)


class _Thing:
    """A textured disc that crosses the frame, and comes back at the edges."""

    def __init__(self, footage: Footage, rng: np.random.Generator) -> None:
        self._limits = np.array([footage.height, footage.width])
        radius = round(footage.height * rng.uniform(0.08, 0.16))
        axis = np.arange(2 * radius) - radius + 0.5
        self._mask = np.hypot(axis[:, None], axis[None, :]) <= radius
        size = (2 * radius, 2 * radius)
        self._pixels = np.asarray(_natural(rng, size, rng.uniform(60, 190), 25), dtype=np.int16)
        self._start = rng.uniform(0, 1, size=2) * self._limits
        self._speed = rng.uniform(-0.25, 0.25, size=2) * footage.width

    def draw(self, luma: NDArray[np.int16], time_s: float) -> None:
        room = self._limits - self._mask.shape
        travelled = self._start + self._speed * time_s
        y, x = np.rint(np.abs((travelled + room) % (2 * room) - room)).astype(int)
        below = luma[y : y + self._mask.shape[0], x : x + self._mask.shape[1]]
        np.copyto(below, self._pixels, where=self._mask)


def _natural(
    rng: np.random.Generator, size: tuple[int, int], mean: float, deviation: float
) -> Image.Image:
    """Noise whose amplitude falls with frequency, with this mean and deviation in levels."""
    spectrum = np.fft.rfft2(rng.normal(size=size))
    frequency = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None, :])
    frequency[0, 0] = np.inf
    picture = np.fft.irfft2(spectrum / frequency**_FALL, s=size)
    picture *= deviation / picture.std()
    return Image.fromarray(np.clip(np.rint(picture + mean), 16, 235).astype(np.uint8))
