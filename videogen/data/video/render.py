"""Decoded frames become upright RGB pictures of one size, with how much each differs."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideDataType
from numpy.typing import NDArray

from videogen.data.video.filter_graph import ChangeMeter, FilterGraph, change_of, measured
from videogen.data.video.footage import Footage
from videogen.data.video.geometry import Crop, Look
from videogen.data.video.picture import Picture, Treatment, decide, filters, unsupported
from videogen.data.video.tone_map import tone_map
from videogen.data.video.unusable import UnusableSourceError
from videogen.data.video.video_file import check_budget

Frame = NDArray[np.uint8]
Rendered = tuple[float, Frame, float, float]
"""Time in seconds, (h w c) RGB, scdet's change and score."""

_Likeness = tuple[int, int, str, float, int, int, int, int]


@dataclass
class _Path:
    """The way of frames that are alike."""

    graph: FilterGraph
    treatment: Treatment
    meter: ChangeMeter | None
    """Where the filters do not measure changes themselves."""
    is_new: bool = True
    """No frame came out yet."""


class Renderer:
    """Renders the frames of one source; raises `UnusableSourceError`."""

    def __init__(
        self,
        footage: Footage,
        want: tuple[tuple[int, int] | None, Crop],
        look: Look,
        *,
        maps_hdr: bool,
    ) -> None:
        """`want` is height and width (None: as stored) and the crop."""
        self._footage = footage
        self._want = want
        self._look = look
        self._maps_hdr = maps_hdr
        self._path: _Path | None = None
        self._likeness: _Likeness | None = None
        self._deinterlaces = False
        self._times: deque[tuple[int, float]] = deque()
        self._fed = 0
        self._last: Frame | None = None
        self.first: Treatment | None = None
        """What was decided for the first frame."""

    def render(self, time_s: float, frame: av.VideoFrame) -> Iterator[Rendered]:
        """The pictures that are ready once this frame is there: deinterlacing holds one back."""
        likeness = _likeness(frame)
        filters_fit = likeness == self._likeness and (
            self._deinterlaces or not frame.interlaced_frame
        )
        if self._path is None or not filters_fit:
            yield from self.flush()
            self._path = self._built(frame)
            self._likeness = likeness
        path = self._path
        self._times.append((self._fed, time_s))
        self._fed += 1
        try:
            for number, out in path.graph.feed(frame, self._fed - 1):
                yield self._finished(path, number, out)
        except av.error.FFmpegError as error:
            raise self._failed(error) from error

    def flush(self) -> Iterator[Rendered]:
        """The pictures that were held back."""
        if self._path is not None:
            for number, out in self._path.graph.flush():
                yield self._finished(self._path, number, out)

    def _built(self, frame: av.VideoFrame) -> _Path:
        check_budget(self._footage.name, frame.width, frame.height)
        self._deinterlaces = self._deinterlaces or frame.interlaced_frame
        picture = _describe(frame, self._footage.pixel_aspect, self._deinterlaces)
        foreign = unsupported(picture)
        if foreign:
            detail = f"its colours are {foreign}, which is not undone here: convert it to BT.709"
            raise UnusableSourceError("unsupported", self._footage.name, detail)
        look = self._look if self._fits(frame) else Look()
        treatment = decide(
            picture, self._footage.codec, float(self._footage.rate), self._want, look
        )
        self._refuse_hdr(treatment)
        check_budget(self._footage.name, *treatment.geometry.canvas)
        chain = filters(picture, treatment)
        is_direct = treatment.pixel_format == "rgb24"
        try:
            graph = FilterGraph(frame, measured(chain) if is_direct else chain)
        except av.error.FFmpegError as error:
            raise self._failed(error) from error
        self.first = self.first or treatment
        return _Path(graph, treatment, None if is_direct else ChangeMeter())

    def _fits(self, frame: av.VideoFrame) -> bool:
        """Whether the frame has the size that was surveyed."""
        if self.first is None:
            return True
        seen = self.first.decisions
        return (frame.width, frame.height) == (seen.width, seen.height)

    def _refuse_hdr(self, treatment: Treatment) -> None:
        transfer = treatment.decisions.transfer
        if transfer != "sdr" and not self._maps_hdr:
            detail = f"its transfer is {transfer.upper()}, and ingest.hdr is quarantine"
            raise UnusableSourceError("hdr", self._footage.name, detail)

    def _finished(self, path: _Path, number: int, out: av.VideoFrame) -> Rendered:
        picture = _rgb(out, path.treatment)
        change, score = change_of(out) if path.meter is None else path.meter.measure(picture)
        if path.is_new:
            change = score = self._jump(picture)
            path.is_new = False
        self._last = picture
        while self._times[0][0] < number:
            self._times.popleft()
        return self._times.popleft()[1], picture, change, score

    def _jump(self, picture: Frame) -> float:
        """What scdet would tell over new filters, which do not know the frame before them."""
        if self._last is None:
            return 0.0
        if self._last.shape != picture.shape:
            return 100.0
        difference = np.abs(picture.astype(np.int16) - self._last)
        return float(difference.mean() * 100 / 255)

    def _failed(self, error: av.error.FFmpegError) -> UnusableSourceError:
        detail = f"cannot be converted to RGB: {error.strerror or error}"
        return UnusableSourceError("corrupt", self._footage.name, detail)


def _rgb(out: av.VideoFrame, treatment: Treatment) -> Frame:
    """What the filters gave as (h w c) RGB; the rest of the arithmetic is done here."""
    if treatment.pixel_format == "rgb48le":
        deep = cast("NDArray[np.uint16]", out.to_ndarray())
        if treatment.is_limited_rgb:
            deep = _stretched(deep)
        if treatment.decisions.transfer == "sdr":
            return cast("Frame", np.rint(deep / 257).astype(np.uint8))
        return tone_map(deep, treatment.decisions.transfer, treatment.primaries)
    if treatment.pixel_format == "yuv444p16le":
        samples = cast("NDArray[np.uint16]", out.to_ndarray())
        return _from_ycgco(samples, treatment.decisions.range)
    pixels = cast("Frame", out.to_ndarray())
    if treatment.pixel_format == "rgba":  # alpha is multiplied in
        pixels = np.minimum(255 - pixels[..., 3:], 255 - pixels[..., :3]) + pixels[..., :3]
    return pixels


def _stretched(deep: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Limited range, 16 to 235 of 255, to full range, in 16 bits."""
    levels = (deep / 257.0 - 16) * (255 / 219)
    return np.rint(np.clip(levels, 0, 255) * 257).astype(np.uint16)


def _from_ycgco(samples: NDArray[np.uint16], span: str) -> Frame:
    """RGB of Y, Cg and Co, (h w c) of 16 bits (ITU-T H.273, matrix coefficients 8)."""
    black, luma, chroma = (16 / 255, 219 / 255, 224 / 255) if span == "tv" else (0.0, 1.0, 1.0)
    y, cg, co = np.moveaxis(samples, -1, 0) / (255 * 256)
    y, cg, co = (y - black) / luma, (cg - 128 / 255) / chroma, (co - 128 / 255) / chroma
    rgb = np.stack([y - cg + co, y + cg, y - cg - co], axis=-1)
    levels: Frame = np.rint(255 * np.clip(rgb, 0, 1)).astype(np.uint8)
    return levels


def _likeness(frame: av.VideoFrame) -> _Likeness:
    """Frames alike in this pass the same filters."""
    return (
        frame.width,
        frame.height,
        frame.format.name,
        frame.rotation,
        int(frame.colorspace),
        int(frame.color_range),
        int(frame.color_trc),
        int(frame.color_primaries),
    )


def _describe(frame: av.VideoFrame, aspect: Fraction | None, interlaced: bool) -> Picture:  # noqa: FBT001
    layout = frame.format
    return Picture(
        width=frame.width,
        height=frame.height,
        format=layout.name,
        is_rgb=layout.is_rgb or layout.has_palette,
        has_alpha=layout.has_palette or any(part.is_alpha for part in layout.components),
        rotation=frame.rotation,
        is_mirrored=_is_mirrored(frame),
        matrix=int(frame.colorspace),
        range=int(frame.color_range),
        transfer=int(frame.color_trc),
        primaries=int(frame.color_primaries),
        aspect=aspect,
        interlaced=interlaced,
    )


def _is_mirrored(frame: av.VideoFrame) -> bool:
    """Whether the display matrix (3 x 3, 32-bit, row by row) has a negative determinant."""
    try:
        told = cast("dict[SideDataType, SideData]", frame.side_data)
    except ValueError:
        return False  # PyAV 18 knows no EXIF; images are hardly ever mirrored by it
    matrix = told.get(SideDataType.DISPLAYMATRIX)
    if matrix is None:
        return False
    a, b, _, c, d = np.frombuffer(bytes(matrix), dtype="<i4")[:5].astype(float)
    return bool(a * d - b * c < 0)
