"""Footage with known edits: scenes of coloured noise as detailed as photographs, filmed in motion.

A `Scene` gives its frame at any time; edits join scenes into one film, with the number of the shot
that each frame belongs to, or -1 where two are mixed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from videogen.config.sections import ShotConfig
from videogen.data.video.reader import ReadRule, VideoReader
from videogen.data.video.writer import write_video
from videogen.ingest.shots.labels import label_shots

SIZE = 64
WIDE = 320
Motion = Literal["still", "pan", "fast pan", "shake", "zoom", "object"]
MOTIONS: tuple[Motion, ...] = ("still", "pan", "fast pan", "shake", "zoom", "object")
Pictures = NDArray[np.float32]


class Scene:
    """Something to film; a seed makes another one."""

    def __init__(self, seed: int, motion: Motion) -> None:
        rng = np.random.default_rng(seed)
        self.motion = motion
        self._landscape = _noise(rng, WIDE)
        self._object = _noise(rng, 128)
        self._disc = Image.fromarray(
            np.uint8(255 * (np.hypot(*np.mgrid[-1:1:32j, -1:1:32j]) < 1)), "L"
        )
        self._angle = rng.uniform(0, 2 * np.pi)
        self._grain = rng

    def filmed(self, num: int, fps: float, start_s: float = 0.0) -> Pictures:
        """Frames (t h w c), 0 to 255."""
        return np.stack([self._frame(start_s + index / fps) for index in range(num)])

    def _frame(self, time_s: float) -> Pictures:
        centre = np.full(2, WIDE / 2)
        along = np.array([np.cos(self._angle), np.sin(self._angle)])
        half = 50.0
        match self.motion:
            case "pan" | "fast pan":  # crosses 8 or 50 % of the picture a second, back and forth
                speed = 8.0 if self.motion == "pan" else 50.0
                centre += along * (abs((speed * time_s) % 160 - 80) - 40)
            case "shake":
                centre += 5 * np.array([np.sin(9 * time_s), np.sin(11 * time_s + 1)])
            case "zoom":
                half = 40 + 20 * abs((time_s / 2) % 2 - 1)
        box = (*(centre - half), *(centre + half))
        image = self._landscape.transform(
            (SIZE, SIZE), Image.Transform.EXTENT, box, Image.Resampling.BILINEAR
        )
        if self.motion == "object":  # half as wide as the picture, across it in 1.5 s
            place = 48 * np.abs(1 - np.mod(time_s * along / 0.75, 2)) - 8
            image.paste(self._object.resize((32, 32)), tuple(place.astype(int)), self._disc)
        return np.asarray(image, dtype=np.float32) + self._grain.normal(size=(SIZE, SIZE, 3))


@dataclass
class Film:
    """Frames (t h w c), 0 to 255, and the shot of each."""

    frames: Pictures
    shots: list[int]

    def then(self, other: Pictures, mix: Pictures | None = None) -> "Film":
        """This film with another shot, after frames that are of both."""
        between = np.empty((0, *other.shape[1:]), np.float32) if mix is None else mix
        number = self.shots[-1] + 1
        shots = [*self.shots, *[-1] * len(between), *[number] * len(other)]
        return Film(np.concatenate((self.frames, between, other)), shots)


def of(frames: Pictures) -> Film:
    """A film of one shot."""
    return Film(frames, [0] * len(frames))


def hard_cuts(seed: int, motions: tuple[Motion, ...], num: int, fps: float) -> Film:
    """A shot of `num` frames for each motion."""
    scenes = [Scene(100 * seed + index, motion) for index, motion in enumerate(motions)]
    film = of(scenes[0].filmed(num, fps))
    for scene in scenes[1:]:
        film = film.then(scene.filmed(num, fps))
    return film


def faded(one: Scene, other: Scene, num: int, fps: float, to: float, length: int) -> Film:
    """`one` fades to a level within `length` frames, and `other` comes out of it."""
    down = np.linspace(1, 0, length + 2)[1:-1, None, None, None]
    gone = one.filmed(length, fps, num / fps) * down + to * (1 - down)
    come = other.filmed(length, fps) * down[::-1] + to * (1 - down[::-1])
    rest = other.filmed(num, fps, length / fps)
    return of(one.filmed(num, fps)).then(rest, np.concatenate((gone, come)))


def dissolved(one: Scene, other: Scene, num: int, fps: float, length: int) -> Film:
    """`one` turns into `other` within `length` frames, while both go on."""
    share = np.linspace(0, 1, length + 2)[1:-1, None, None, None]
    mix = one.filmed(length, fps, num / fps) * (1 - share) + other.filmed(length, fps) * share
    return of(one.filmed(num, fps)).then(other.filmed(num, fps, length / fps), mix)


def labels(
    film: Film, fps: float, directory: Path, rule: ShotConfig | None = None, kind: str = "mp4"
) -> list[int]:
    """What the shots of a film are found to be, once it is a file and is read again."""
    path = directory / f"film.{kind}"
    write_video(path, np.uint8(np.clip(np.rint(film.frames), 0, 255)), fps, kind, crf="18")
    with VideoReader(path, ReadRule(size=(SIZE, SIZE))) as reader:
        found = [number for number, _ in label_shots(reader.frames(), rule or ShotConfig())]
    assert len(found) == len(film.frames)
    return found


def joined(found: list[int], film: Film) -> list[int]:
    """The shots of a film that share a found one with the shot before: cuts that were missed."""
    inside = [
        {number for number, truth in zip(found, film.shots, strict=True) if truth == shot} - {-1}
        for shot in range(film.shots[-1] + 1)
    ]
    return [shot for shot in range(1, len(inside)) if inside[shot] & inside[shot - 1]]


def split(found: list[int], film: Film) -> list[int]:
    """The frames at which a shot is cut in two though it goes on."""
    return [
        at
        for at in range(1, len(found))
        if found[at] > found[at - 1] >= 0 and film.shots[at] == film.shots[at - 1] >= 0
    ]


def _noise(rng: np.random.Generator, size: int) -> Image.Image:
    """Details of all sizes, as photographs have: amplitudes fall with frequency."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None, :])
    frequency[0, 0] = 1

    def plane() -> Iterator[NDArray[np.float64]]:
        while True:
            white = np.fft.fft2(rng.normal(size=(size, size)))
            grown = np.fft.ifft2(white / frequency).real
            yield (grown - grown.mean()) / grown.std()

    planes = plane()
    shared = next(planes)
    colours = np.stack([shared + next(planes) / 2 for _ in range(3)], axis=-1)
    levels = rng.uniform(80, 170, 3) + rng.uniform(25, 50) * colours
    return Image.fromarray(np.uint8(np.clip(levels, 0, 255)))
