"""Writes frames as files that people open: video, animation, and sheets of stills.

Every file appears whole or not at all.
"""

import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Literal, cast

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from videogen.errors import VideogenError

Frames = NDArray[np.uint8]
Provenance = Mapping[str, str | int | float | None]
VideoFormat = Literal["mp4", "gif", "webp", "webm"]

_BT709 = 1
_LIMITED = 1
_HD_HEIGHT = 720
_BT601 = 6
_SAME_BYTES = {"bf": "0", "x264-params": "mbtree=0:qcomp=1"}
"""x264's macroblock tree takes other decisions now and then for the same frames, with B-frames more
often: without either, 130 encodings of the same frames were equal, with the tree 20 % differed.
`qcomp` makes up for it: stills stay still (the tree's absence let them flicker by 0.2 levels)."""
_MAX_RATE_DENOMINATOR = 1001
_CONTENT_CRF = "14"
_SEEN_SIZE = 64
_GAP = 2
_MARGIN = 6
_TITLE_SIZE = 14
_CAPTION_SIZE = 11
_PAPER = (255, 255, 255)
_INK = (24, 24, 24)


class VideoWriteError(VideogenError):
    """Frames could not be written as asked."""


def write_video(
    path: Path,
    frames: Frames,
    fps: float,
    format: VideoFormat = "mp4",  # noqa: A002 - the word of the command line
    *,
    provenance: Provenance | None = None,
    crf: str = _CONTENT_CRF,
) -> None:
    """Write one clip, uint8 (t h w c) RGB.

    mp4 is H.264 4:2:0 that starts before it is loaded whole, with an odd size padded by a pixel;
    gif has one palette for all frames. `provenance` goes into the comment as JSON (mp4, webm, gif,
    and the EXIF description of webp). The bytes are a function of the arguments. Raises
    `VideoWriteError`.
    """
    _check(path, frames)
    comment = json.dumps(dict(provenance), sort_keys=True) if provenance else ""
    with _in_place(path) as staged:
        match format:
            case "mp4":
                options = {"crf": crf, "preset": "medium", "threads": "1", **_SAME_BYTES}
                _encode(staged, _padded(frames), fps, ("mp4", "libx264"), (options, comment))
            case "webm":
                options = {"crf": "20", "b": "0", "threads": "1", "row-mt": "0"}
                _encode(staged, _padded(frames), fps, ("webm", "libvpx-vp9"), (options, comment))
            case "gif" | "webp":
                _animate(staged, frames, fps, format, comment)


def write_sheet(
    path: Path,
    clips: Frames,
    *,
    title: str = "",
    captions: Sequence[str] = (),
    provenance: Provenance | None = None,
) -> None:
    """Write a PNG of clips, uint8 (n t h w c): a row for each clip, a column for each frame.

    `captions`, where given, has a line for each clip; it stands above the clip's row.
    """
    _check(path, clips.reshape(-1, *clips.shape[2:]))
    clips = _enlarged(clips)
    num, length, height, width, _ = clips.shape
    top = _TITLE_SIZE + 2 * _MARGIN if title else 0
    said = _CAPTION_SIZE + _MARGIN if captions else 0
    texts = [_text_width(title), *(_text_width(one, _CAPTION_SIZE) for one in captions)]
    wide = max(length * (width + _GAP) + _GAP, *texts)
    sheet = Image.new("RGB", (wide, top + num * (said + height + _GAP) + _GAP), _PAPER)
    _write_text(sheet, (_MARGIN, _MARGIN), title)
    for row in range(num):
        y = top + _GAP + row * (said + height + _GAP) + said
        if captions:
            _write_text(sheet, (_MARGIN, y - said), captions[row], _CAPTION_SIZE)
        for column in range(length):
            frame = Image.fromarray(np.ascontiguousarray(clips[row, column]))
            sheet.paste(frame, (_GAP + column * (width + _GAP), y))
    text = PngImagePlugin.PngInfo()
    if provenance:
        text.add_text("Comment", json.dumps(dict(provenance), sort_keys=True))
    with _in_place(path) as staged:
        sheet.save(staged, format="PNG", pnginfo=text)


def write_grid(
    path: Path,
    clips: Frames,
    fps: float,
    format: VideoFormat = "mp4",  # noqa: A002 - as in write_video
    *,
    title: str = "",
    provenance: Provenance | None = None,
) -> None:
    """Write clips, uint8 (n t h w c), as one video that plays them side by side under a title."""
    clips = _enlarged(clips)
    num, length, height, width, _ = clips.shape
    columns = int(np.ceil(np.sqrt(num)))
    rows = -(-num // columns)
    top = _TITLE_SIZE + 2 * _MARGIN if title else 0
    wide = max(columns * (width + _GAP) + _GAP, _text_width(title))
    canvas = np.full((length, top + rows * (height + _GAP) + _GAP, wide, 3), 255, dtype=np.uint8)
    if title:
        canvas[:, :top] = _title_strip(title, top, wide)
    for index in range(num):
        row, column = divmod(index, columns)
        y, x = top + _GAP + row * (height + _GAP), _GAP + column * (width + _GAP)
        canvas[:, y : y + height, x : x + width] = clips[index]
    write_video(path, canvas, fps, format, provenance=provenance)


def _enlarged(clips: Frames) -> Frames:
    """Clips whose frames are large enough for people: whole pixels are repeated."""
    factor = max(1, _SEEN_SIZE // max(clips.shape[2:4]))
    return clips.repeat(factor, axis=2).repeat(factor, axis=3)


def _text_width(text: str, size: int = _TITLE_SIZE) -> int:
    if not text:
        return 0
    return int(ImageFont.load_default(size).getlength(text)) + 2 * _MARGIN


def _write_text(
    image: Image.Image, place: tuple[int, int], text: str, size: int = _TITLE_SIZE
) -> None:
    ImageDraw.Draw(image).text(place, text, fill=_INK, font=ImageFont.load_default(size))


def _title_strip(title: str, height: int, width: int) -> Frames:
    strip = Image.new("RGB", (width, height), _PAPER)
    _write_text(strip, (_MARGIN, _MARGIN), title)
    return np.asarray(strip, dtype=np.uint8)


def _check(path: Path, frames: Frames) -> None:
    channels = 3
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != channels:  # noqa: PLR2004 - t h w c
        raise VideoWriteError(
            f"cannot write {path}: frames are {frames.dtype} {frames.shape}, give uint8 (t h w 3)"
        )
    if 0 in frames.shape:
        raise VideoWriteError(f"cannot write {path}: there is no frame in {frames.shape}")


def _padded(frames: Frames) -> Frames:
    """Frames of even height and width; an odd edge is repeated once."""
    _, height, width, _ = frames.shape
    if height % 2 == 0 and width % 2 == 0:
        return frames
    return np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _encode(
    path: Path,
    frames: Frames,
    fps: float,
    kind: tuple[str, str],
    how: tuple[dict[str, str], str],
) -> None:
    """`kind` is container and codec, `how` the codec's options and the comment."""
    (container_format, codec), (options, comment) = kind, how
    matrix = _BT709 if frames.shape[1] >= _HD_HEIGHT else _BT601
    flags = {"movflags": "+faststart", "fflags": "+bitexact"}
    try:
        with av.open(str(path), "w", format=container_format, container_options=flags) as container:
            if comment:
                container.metadata["comment"] = comment
            rate = Fraction(fps).limit_denominator(_MAX_RATE_DENOMINATOR)
            stream = cast("av.VideoStream", container.add_stream(codec, rate=rate, options=options))
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "yuv420p"
            stream.codec_context.colorspace = matrix
            stream.codec_context.color_range = _LIMITED
            for index, pixels in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
                frame = frame.reformat(
                    format="yuv420p", dst_colorspace=matrix, dst_color_range=_LIMITED
                )
                frame.pts, frame.time_base = index, 1 / rate
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except (OSError, av.error.FFmpegError) as error:
        raise VideoWriteError(f"cannot write {path}: {error.strerror or error}") from error


def _animate(path: Path, frames: Frames, fps: float, kind: str, comment: str) -> None:
    images: Sequence[Image.Image] = [Image.fromarray(np.ascontiguousarray(f)) for f in frames]
    duration_ms = round(1000 / fps)
    if kind == "gif":
        palette = _common_palette(images)
        images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
        images[0].save(
            path,
            format="GIF",
            save_all=True,
            append_images=images[1:],
            duration=duration_ms,
            loop=0,
            comment=comment.encode(),
        )
        return
    exif = Image.Exif()
    if comment:
        exif[0x010E] = comment
    images[0].save(
        path,
        format="WEBP",
        save_all=True,
        append_images=images[1:],
        duration=duration_ms,
        loop=0,
        quality=90,
        exif=exif.tobytes() if comment else b"",
    )


def _common_palette(images: Sequence[Image.Image]) -> Image.Image:
    """A palette of 256 colours from up to 16 frames, so that colours do not flicker."""
    chosen = images[:: -(-len(images) // 16)]
    strip = Image.fromarray(np.concatenate([np.asarray(image) for image in chosen], axis=0))
    return strip.quantize(colors=256, method=Image.Quantize.MEDIANCUT)


@contextmanager
def _in_place(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; `path` takes its content in one step at the end."""
    staged = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield staged
        os.replace(staged, path)  # noqa: PTH105 - in one step
    except OSError as error:
        raise VideoWriteError(
            f"cannot write {path}: {error.strerror or error}; "
            "check that there is room and that the directory may be written"
        ) from error
    finally:
        with suppress(OSError):  # as where the directory is none: that was said above
            staged.unlink(missing_ok=True)
