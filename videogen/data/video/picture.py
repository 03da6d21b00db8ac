"""How a coded picture becomes an upright RGB frame: what is decided, and the filters that do it.

Of colour the matrix, the range and, for HDR, the transfer are undone. Primaries of SDR video are
not converted: BT.2020 primaries without an HDR transfer come out as they are.
"""

from dataclasses import asdict, dataclass, fields
from fractions import Fraction

from videogen.data.video.geometry import Crop, Geometry, Look, believable_aspect, plan

_TO_SIZE = "flags=lanczos+accurate_rnd"
_TO_RGB = "flags=accurate_rnd+full_chroma_int"
_LEFT = ":in_chroma_loc=left"
"""Where H.264 and MPEG-2 put chroma; unset, it is taken for JPEG's centre."""
_HD_WIDTH = 1280
_SD_HEIGHT = 576
# AVColorSpace, AVColorRange, AVColorTransferCharacteristic and AVColorPrimaries, by number
_MATRICES = {
    1: "bt709",
    4: "fcc",
    5: "bt601",
    6: "bt601",
    7: "smpte240m",
    8: "ycgco",
    9: "bt2020",
}
_UNSUPPORTED_MATRICES = {
    10: "BT.2020 of constant luminance",
    11: "SMPTE ST 2085",
    13: "constant luminance",
    14: "ICtCp",
    15: "IPT",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}
_BY_PRIMARIES = 12
_BT2020_PRIMARIES = 9
_RANGES = {1: "tv", 2: "pc"}
_HDR = {16: "pq", 18: "hlg"}
_CODECS_OF_LIMITED_GRAY = ("h264", "hevc", "vvc", "av1", "mpeg")
_TURNS: dict[int, tuple[tuple[str, str], ...]] = {
    0: (),
    90: (("transpose", "cclock"),),
    180: (("hflip", ""), ("vflip", "")),
    270: (("transpose", "clock"),),
}


@dataclass(frozen=True)
class Picture:
    """What the decoder says of a frame; numbers are FFmpeg's."""

    width: int
    height: int
    format: str
    is_rgb: bool
    has_alpha: bool
    rotation: float
    """Degrees, counter-clockwise."""
    is_mirrored: bool
    """Top and bottom are swapped before the turn."""
    matrix: int
    range: int
    transfer: int
    primaries: int
    aspect: Fraction | None
    """Width of a pixel by its height."""
    interlaced: bool


@dataclass(frozen=True)
class Decisions:
    """How the frames of one file are read."""

    codec: str
    width: int
    height: int
    rotation: int
    """Degrees, counter-clockwise, that the frames are turned by: 0, 90, 180 or 270."""
    mirrored: bool
    matrix: str
    matrix_from: str
    """`tag`; `size`, where there is none (HD is BT.709); or `format` (RGB has no matrix)."""
    range: str
    range_from: str
    transfer: str
    """`sdr`, kept as it is, or what was tone-mapped: `pq`, `hlg`."""
    deinterlace: str
    """`bwdif` or `none`."""
    alpha: str
    """`over white` or `none`."""
    aspect: str
    """Width of a pixel by its height."""
    bars: str
    """Black rows and columns that were cut off."""
    crop: str
    """What is kept of the stored frame: width x height + x + y."""
    rate: float
    """The file's average frames a second."""

    def as_document(self) -> dict[str, str | int | float]:
        """The decisions as JSON-ready values."""
        return asdict(self)

    @property
    def colour(self) -> str:
        """The colour decision on one line."""
        mapped = "" if self.transfer == "sdr" else f", {self.transfer} tone-mapped"
        return f"{self.matrix} by {self.matrix_from}, {self.range} by {self.range_from}{mapped}"


@dataclass(frozen=True)
class Treatment:
    """What is done to frames like one that was seen."""

    decisions: Decisions
    geometry: Geometry
    primaries: int

    @property
    def is_limited_rgb(self) -> bool:
        """Whether RGB is stored from 16 to 235, which no filter undoes."""
        return self.decisions.matrix == "rgb" and self.decisions.range == "tv"

    @property
    def pixel_format(self) -> str:
        """What the filters hand out: RGB, or what arithmetic beyond filters needs."""
        if self.decisions.transfer != "sdr" or self.is_limited_rgb:
            return "rgb48le"
        if self.decisions.matrix == "ycgco":
            return "yuv444p16le"
        return "rgba" if self.decisions.alpha != "none" else "rgb24"


def unsupported(picture: Picture) -> str | None:
    """The name of a colour system that is not undone here, or None."""
    return None if picture.is_rgb else _UNSUPPORTED_MATRICES.get(picture.matrix)


def decide(
    picture: Picture,
    codec: str,
    rate: float,
    want: tuple[tuple[int, int] | None, Crop],
    look: Look,
) -> Treatment:
    """What to do with frames like this one; `want` is height and width (or None), and the crop."""
    size, crop = want
    rotation = round(picture.rotation / 90) * 90 % 360
    if size is not None and rotation not in (90, 270):
        size = size[::-1]
    aspect = believable_aspect(picture.aspect)
    geometry = plan((picture.width, picture.height), aspect, size, crop, look)
    matrix, matrix_from = _matrix(picture)
    span, span_from = _range(picture, codec)
    decisions = Decisions(
        codec=codec,
        width=picture.width,
        height=picture.height,
        rotation=rotation,
        mirrored=picture.is_mirrored,
        matrix=matrix,
        matrix_from=matrix_from,
        range=span,
        range_from=span_from,
        transfer=_HDR.get(picture.transfer, "sdr"),
        deinterlace="bwdif" if picture.interlaced else "none",
        alpha="over white" if picture.has_alpha else "none",
        aspect=f"{aspect.numerator}:{aspect.denominator}",
        bars=str(look.bars),
        crop="{width}x{height}+{x}+{y}".format(**asdict(geometry.box)),
        rate=rate,
    )
    return Treatment(decisions, geometry, picture.primaries)


def filters(picture: Picture, treatment: Treatment) -> list[tuple[str, str]]:
    """Names and arguments: deinterlace, cut, scale, RGB, pad, turn.

    Scaling goes by way of 16 bits a sample at full chroma: that is 56 to 58 dB from a float
    reference, and 3 times as fast as Lanczos straight to RGB, whose vertical pass is not SIMD.
    """
    decided, geometry = treatment.decisions, treatment.geometry
    chain: list[tuple[str, str]] = []
    if picture.interlaced:
        chain.append(("bwdif", "mode=send_frame:parity=auto:deint=interlaced"))
    box = geometry.box
    if (box.width, box.height) != (picture.width, picture.height):
        chain.append(("crop", f"{box.width}:{box.height}:{box.x}:{box.y}:exact=1"))
    chain += _scaled(picture, treatment)
    if geometry.is_padded:
        chain.append(("pad", f"{geometry.canvas[0]}:{geometry.canvas[1]}:-1:-1:black"))
    if decided.mirrored:
        chain.append(("vflip", ""))
    return [*chain, *_TURNS[decided.rotation]]


def changed(before: Picture, now: Picture) -> bool:
    """Whether frames need other filters; interlaced ones are recognised frame by frame there."""
    return any(
        getattr(before, field.name) != getattr(now, field.name)
        for field in fields(Picture)
        if field.name != "interlaced"
    ) or (now.interlaced and not before.interlaced)


def _scaled(picture: Picture, treatment: Treatment) -> list[tuple[str, str]]:
    decided, geometry = treatment.decisions, treatment.geometry
    size = f"{geometry.width}:{geometry.height}:{_TO_SIZE}"
    out = ("format", treatment.pixel_format)
    # YCgCo is unknown to the filters, which are to pass it on as they find it
    matrix = "bt709" if decided.matrix == "ycgco" else decided.matrix
    colour = f"in_color_matrix={matrix}:in_range={decided.range}"
    site = "" if picture.format.startswith(("yuvj", "gray")) else _LEFT
    if picture.has_alpha:
        # what is transparent must not bleed its colour, so alpha is multiplied in before scaling
        whole = [] if picture.is_rgb else [("scale", f"{_TO_RGB}:{colour}:out_range=pc{site}")]
        premultiplied = [*whole, ("format", "gbrap16le"), ("premultiply", "inplace=1")]
        return [*premultiplied, ("scale", size), ("format", "gbrap16le"), ("scale", _TO_RGB), out]
    if picture.is_rgb:
        return [("scale", size), ("format", "gbrp16le"), ("scale", _TO_RGB), out]
    # gray is always taken for full range: told so on both sides, its levels are not touched here
    kept = "pc" if picture.format.startswith("gray") else decided.range
    stay = f"in_color_matrix={matrix}:out_color_matrix={matrix}:in_range={kept}:out_range={kept}"
    stay += site
    scale = [("scale", f"{size}:{stay}"), ("format", "yuv444p16le")]
    if decided.matrix == "ycgco":
        return scale
    return [*scale, ("scale", f"{_TO_RGB}:{colour}:out_range=pc"), out]


def _matrix(picture: Picture) -> tuple[str, str]:
    if picture.is_rgb:
        return "rgb", "format"
    if picture.matrix in _MATRICES:
        return _MATRICES[picture.matrix], "tag"
    is_wide = picture.primaries == _BT2020_PRIMARIES or picture.transfer in _HDR
    if picture.matrix == _BY_PRIMARIES or is_wide:
        return ("bt2020" if is_wide else "bt709"), "primaries"
    is_hd = picture.width >= _HD_WIDTH or picture.height > _SD_HEIGHT
    return ("bt709" if is_hd else "bt601"), "size"


def _range(picture: Picture, codec: str) -> tuple[str, str]:
    if picture.is_rgb and (_RANGES.get(picture.range) != "tv" or picture.has_alpha):
        return "pc", "format"
    if picture.range in _RANGES:
        return _RANGES[picture.range], "tag"
    is_gray = picture.format.startswith("gray")
    limited_gray = codec.startswith(_CODECS_OF_LIMITED_GRAY)
    if picture.format.startswith("yuvj") or (is_gray and not limited_gray):
        return "pc", "format"
    return "tv", "default"
