"""How a coded picture becomes an upright RGB frame: what is decided, and the filters that do it."""

from dataclasses import asdict, dataclass
from fractions import Fraction

_FLAGS = "lanczos+accurate_rnd+full_chroma_int+full_chroma_inp"
_RGB_FORMATS = ("rgb", "bgr", "gbr", "argb", "abgr", "pal8", "0rgb", "0bgr")
_FULL_RANGE_FORMATS = ("yuvj", "gray")
_HD_HEIGHT = 720
# AVColorSpace and AVColorRange, by number, in the words of the scale filter
_MATRICES = {
    1: "bt709",
    4: "fcc",
    5: "bt470",
    6: "smpte170m",
    7: "smpte240m",
    9: "bt2020",
    10: "bt2020",
}
_RANGES = {1: "tv", 2: "pc"}
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
    rotation: int
    matrix: int
    range: int
    aspect: Fraction
    """Width of a pixel by its height."""


@dataclass(frozen=True)
class Decisions:
    """How the frames of one file are read."""

    codec: str
    width: int
    height: int
    rotation: int
    """Degrees, counter-clockwise, that the frames are turned by: 0, 90, 180 or 270."""
    matrix: str
    matrix_from: str
    """`tag`; `height`, where there is none (HD is BT.709); or `format` (RGB has no matrix)."""
    range: str
    range_from: str
    rate: float
    """The file's average frames a second."""

    def as_document(self) -> dict[str, str | int | float]:
        """The decisions as JSON-ready values."""
        return asdict(self)

    @property
    def colour(self) -> str:
        """The colour decision on one line."""
        return f"{self.matrix} by {self.matrix_from}, {self.range} by {self.range_from}"


def decide(picture: Picture, codec: str, rate: float) -> Decisions:
    """What to do with frames like this one."""
    matrix, matrix_from = _matrix(picture)
    span, span_from = _range(picture)
    return Decisions(
        codec=codec,
        width=picture.width,
        height=picture.height,
        rotation=round(picture.rotation / 90) * 90 % 360,
        matrix=matrix,
        matrix_from=matrix_from,
        range=span,
        range_from=span_from,
        rate=rate,
    )


def filters(
    picture: Picture, decided: Decisions, size: tuple[int, int] | None
) -> list[tuple[str, str]]:
    """Names and arguments: crop, resize, RGB, turn. `size` is height and width, None keeps them."""
    sideways = decided.rotation in (90, 270)
    chain: list[tuple[str, str]] = []
    if size is None:
        height, width = picture.height, picture.width
    else:
        height, width = size[::-1] if sideways else size
        crop_width, crop_height = _crop(picture, Fraction(width, height))
        chain.append(("crop", f"{crop_width}:{crop_height}"))
    scale = f"{width}:{height}:flags={_FLAGS}"
    if decided.matrix_from != "format":
        scale += f":in_color_matrix={decided.matrix}:in_range={decided.range}:out_range=pc"
    return [*chain, ("scale", scale), ("format", "rgb24"), *_TURNS[decided.rotation]]


def _crop(picture: Picture, aspect: Fraction) -> tuple[int, int]:
    """Width and height of the largest centred part that is shown with this aspect ratio."""
    stored = aspect / picture.aspect
    if Fraction(picture.width, picture.height) > stored:
        return max(1, round(picture.height * stored)), picture.height
    return picture.width, max(1, round(picture.width / stored))


def _matrix(picture: Picture) -> tuple[str, str]:
    if picture.format.startswith(_RGB_FORMATS):
        return "rgb", "format"
    if picture.matrix in _MATRICES:
        return _MATRICES[picture.matrix], "tag"
    return ("bt709" if picture.height >= _HD_HEIGHT else "bt601"), "height"


def _range(picture: Picture) -> tuple[str, str]:
    if picture.format.startswith(_RGB_FORMATS):
        return "pc", "format"
    if picture.range in _RANGES:
        return _RANGES[picture.range], "tag"
    if picture.format.startswith(_FULL_RANGE_FORMATS):
        return "pc", "format"
    return "tv", "default"
