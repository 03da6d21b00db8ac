"""Colours come back as they were meant, however they are tagged: files whose samples are computed
here from the formulas of the standards, not by the library that reads them."""

from fractions import Fraction
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest

from videogen.data.video.reader import ReadRule, VideoReader
from videogen.data.video.tone_map import compressed, hlg_scene, pq_code, pq_nits
from videogen.data.video.unusable import UnusableSourceError

RED = (0xC0, 0x20, 0x20)
LUMA = {  # Kr, Kb by AVColorSpace: BT.709, FCC, BT.470 BG, SMPTE 170M, SMPTE 240M, BT.2020
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
RANGES = {"untagged": 0, "tv": 1, "pc": 2}
FORMATS = {"yuv420p": 8, "yuv422p": 8, "yuv444p": 8, "yuv420p10le": 10, "yuv444p10le": 10}


def samples(rgb: np.ndarray, matrix: int, span: int, bits: int) -> np.ndarray:
    """Y, Cb, Cr of RGB in [0, 1] (ITU-T H.273, 8.3)."""
    kr, kb = LUMA[matrix]
    y = kr * rgb[0] + (1 - kr - kb) * rgb[1] + kb * rgb[2]
    cb, cr = (rgb[2] - y) / (2 - 2 * kb), (rgb[0] - y) / (2 - 2 * kr)
    scale = 1 << (bits - 8)
    if span == RANGES["pc"]:
        most = (1 << bits) - 1
        return np.rint([most * y, most * cb + 128 * scale, most * cr + 128 * scale])
    return np.rint([scale * (219 * y + 16), scale * (224 * cb + 128), scale * (224 * cr + 128)])


def write(
    path: Path,
    levels: np.ndarray,
    tags: dict[str, int],
    *,
    layout: str = "yuv420p",
    size: tuple[int, int] = (64, 64),
    codec: str = "libx264",
) -> Path:
    """Three frames of one colour, with `tags` of the codec context (numbers of FFmpeg)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, options={"crf": "4", "preset": "ultrafast"})
        stream.height, stream.width = size
        stream.pix_fmt = layout
        stream.codec_context.time_base = Fraction(1, 10)
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        for index in range(3):
            frame = av.VideoFrame(size[1], size[0], layout)
            for plane, level in zip(frame.planes, levels, strict=True):
                if layout.endswith("le"):
                    data = np.full(plane.buffer_size // 2, level, dtype="<u2")
                else:
                    data = np.full(plane.buffer_size, level, dtype=np.uint8)
                plane.update(data.tobytes())
            for name, value in tags.items():
                setattr(frame, name, value)
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read(path: Path, **rule: object) -> tuple[np.ndarray, VideoReader]:
    with VideoReader(path, ReadRule(**{"size": (16, 16), **rule})) as reader:
        frames = np.stack([one.picture for one in reader.frames()]).astype(int)
    assert frames.shape[0] == 3
    return frames, reader


@pytest.mark.parametrize(("matrix", "span"), [*product(LUMA, RANGES)])
def test_a_colour_comes_back_within_3_levels_whatever_is_tagged(
    tmp_path: Path, matrix: int, span: str
) -> None:
    for layout, bits in FORMATS.items():
        levels = samples(np.array(RED) / 255, matrix, RANGES[span], bits)
        tags = {"colorspace": matrix, "color_range": RANGES[span]}
        frames, reader = read(write(tmp_path / f"{layout}.mkv", levels, tags, layout=layout))
        assert np.abs(frames - RED).max() <= 3, layout
        assert reader.decisions is not None
        assert reader.decisions.matrix_from == "tag"
        assert reader.decisions.range == ("pc" if span == "pc" else "tv")


@pytest.mark.parametrize("primaries", [1, 5, 6, 9])
@pytest.mark.parametrize("transfer", [1, 6, 13, 14, 15])
def test_sdr_transfers_and_primaries_are_kept_as_they_are(
    tmp_path: Path, primaries: int, transfer: int
) -> None:
    levels = samples(np.array(RED) / 255, 9, 1, 8)
    tags = {"colorspace": 9, "color_range": 1}
    tags |= {"color_primaries": primaries, "color_trc": transfer}
    frames, _ = read(write(tmp_path / "a.mkv", levels, tags))
    assert np.abs(frames - RED).max() <= 3


@pytest.mark.parametrize(
    ("size", "matrix", "name"),
    [
        ((480, 640), 6, "bt601"),
        ((576, 720), 5, "bt601"),
        ((720, 960), 1, "bt709"),
        ((534, 1280), 1, "bt709"),
        ((1080, 1920), 1, "bt709"),
    ],
)
def test_an_untagged_file_is_read_by_its_size(
    tmp_path: Path, size: tuple[int, int], matrix: int, name: str
) -> None:
    levels = samples(np.array(RED) / 255, matrix, 1, 8)
    frames, reader = read(write(tmp_path / "a.mkv", levels, {}, size=size))
    assert np.abs(frames - RED).max() <= 3
    assert reader.decisions is not None
    assert (reader.decisions.matrix, reader.decisions.matrix_from) == (name, "size")


def test_an_untagged_matrix_of_bt2020_primaries_is_bt2020(tmp_path: Path) -> None:
    levels = samples(np.array(RED) / 255, 9, 1, 10)
    tags = {"color_primaries": 9}
    frames, reader = read(write(tmp_path / "a.mkv", levels, tags, layout="yuv420p10le"))
    assert np.abs(frames - RED).max() <= 3
    assert reader.decisions is not None
    assert reader.decisions.matrix_from == "primaries"


def test_ycgco_is_undone(tmp_path: Path) -> None:
    r, g, b = np.array(RED) / 255
    y, cg, co = (r + 2 * g + b) / 4, (2 * g - r - b) / 4, (r - b) / 2
    levels = np.rint([255 * y, 255 * cg + 128, 255 * co + 128])
    tags = {"colorspace": 8, "color_range": 2}
    frames, reader = read(write(tmp_path / "a.mkv", levels, tags, layout="yuv444p"))
    assert np.abs(frames - RED).max() <= 3
    assert reader.decisions is not None
    assert reader.decisions.matrix == "ycgco"


@pytest.mark.parametrize(("span", "stored"), [("pc", RED), ("tv", (181, 43, 43))])
def test_rgb_has_a_range_too(tmp_path: Path, span: str, stored: tuple[int, int, int]) -> None:
    red, green, blue = stored
    tags = {"colorspace": 0, "color_range": RANGES[span]}
    path = tmp_path / "a.mkv"
    write(path, np.array([green, blue, red]), tags, layout="gbrp", codec="libx265")
    frames, reader = read(path)
    assert np.abs(frames - RED).max() <= 3
    assert reader.decisions is not None
    assert (reader.decisions.matrix, reader.decisions.range) == ("rgb", span)


@pytest.mark.parametrize(("matrix", "name"), [(14, "ICtCp"), (10, "constant luminance")])
def test_colours_that_are_not_undone_are_refused_and_not_bent(
    tmp_path: Path, matrix: int, name: str
) -> None:
    path = write(tmp_path / "a.mkv", np.array([80, 128, 128]), {"colorspace": matrix})
    with pytest.raises(UnusableSourceError, match=name) as caught:
        read(path)
    assert caught.value.reason == "unsupported"


@pytest.mark.parametrize("layout", ["rgb24", "gray", "pal8", "rgb48be", "rgba"])
def test_pictures_without_a_matrix_keep_their_levels(tmp_path: Path, layout: str) -> None:
    pixels = np.full((32, 32, 3), (0x60, 0x60, 0x60) if layout == "gray" else RED, np.uint8)
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="rgba")
    with av.open(str(tmp_path / "a.mov"), "w") as container:
        stream = container.add_stream("png", rate=10)
        stream.height, stream.width, stream.pix_fmt = 32, 32, layout
        for index in range(3):
            if layout == "pal8":
                indices = np.zeros((32, 32), np.uint8)
                palette = np.full((256, 4), (255, *RED), np.uint8)
                frame = av.VideoFrame.from_ndarray((indices, palette), format="pal8")
            else:
                frame = frame.reformat(format=layout)
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    frames, _ = read(tmp_path / "a.mov")
    assert np.abs(frames - pixels[0, 0]).max() <= 1


@pytest.mark.parametrize(("span", "black", "white"), [(0, 0, 255), (2, 0, 255), (1, 16, 235)])
@pytest.mark.parametrize("layout", ["gray", "gray10le"])
def test_gray_is_full_range_unless_tagged(
    tmp_path: Path, layout: str, span: int, black: int, white: int
) -> None:
    scale = 4 if layout == "gray10le" else 1
    for stored, shown in ((black, 0), (white, 255), ((black + white) / 2, 127.5)):
        levels = np.array([round(scale * stored)])
        tags = {"color_range": span} if span else {}
        path = write(tmp_path / "a.mkv", levels, tags, layout=layout, codec="ffv1")
        frames, _ = read(path)
        assert np.abs(frames - shown).max() <= 2


@pytest.mark.parametrize("nits", [0.0, 5.0, 50.0, 203.0, 600.0, 1000.0])
def test_pq_gray_is_shown_as_bt2390_maps_it(tmp_path: Path, nits: float) -> None:
    levels = samples(np.full(3, pq_code(nits)), 9, 1, 10)
    tags = {"colorspace": 9, "color_range": 1, "color_primaries": 9, "color_trc": 16}
    frames, reader = read(write(tmp_path / "a.mkv", levels, tags, layout="yuv420p10le"))
    expected = 255 * (compressed(nits) / 203) ** (1 / 2.4)
    assert np.abs(frames - expected).max() <= 3
    assert reader.decisions is not None
    assert reader.decisions.transfer == "pq"
    assert "pq tone-mapped" in reader.decisions.colour


def test_hlg_white_of_75_percent_is_pq_s_reference_white(tmp_path: Path) -> None:
    """ITU-R BT.2408: HLG's 75 % is 203 cd/m2 on a display of 1000."""
    shown = 1000 * float(hlg_scene(0.75)) ** 1.2
    assert shown == pytest.approx(203, abs=1)
    tags = {"colorspace": 9, "color_range": 1, "color_primaries": 9, "color_trc": 18}
    levels = samples(np.full(3, 0.75), 9, 1, 10)
    frames, _ = read(write(tmp_path / "a.mkv", levels, tags, layout="yuv420p10le"))
    assert np.abs(frames - 255 * (compressed(shown) / 203) ** (1 / 2.4)).max() <= 3


def test_an_sdr_colour_in_pq_keeps_its_hue(tmp_path: Path) -> None:
    linear = (np.array(RED) / 255) ** 2.4 * 80  # well below the knee
    to_bt2020 = np.array(
        [
            [0.627404, 0.329283, 0.043313],
            [0.069097, 0.919540, 0.011362],
            [0.016391, 0.088013, 0.895595],
        ]
    )  # ITU-R BT.2087
    levels = samples(pq_code(to_bt2020 @ linear), 9, 1, 10)
    tags = {"colorspace": 9, "color_range": 1, "color_primaries": 9, "color_trc": 16}
    frames, _ = read(write(tmp_path / "a.mkv", levels, tags, layout="yuv444p10le"))
    expected = 255 * (linear / 203) ** (1 / 2.4)
    assert np.abs(frames - expected).max() <= 4


def test_the_transfer_functions_are_each_other_s_inverse_and_the_curve_is_sound() -> None:
    nits = np.geomspace(0.01, 10_000, 200)
    assert pq_nits(pq_code(nits)) == pytest.approx(nits, rel=1e-6)
    assert float(pq_code(100)) == pytest.approx(0.508, abs=1e-3), "SMPTE ST 2084"
    mapped = compressed(nits[nits <= 1000])
    assert (np.diff(mapped) > 0).all()
    assert float(compressed(1000)) == pytest.approx(203, rel=1e-6)
    assert mapped[0] == pytest.approx(0.01, rel=1e-6), "shadows stay"


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_quarantined_where_the_config_says_so(
    tmp_path: Path, transfer: int, name: str
) -> None:
    path = write(tmp_path / "a.mkv", np.array([80, 128, 128]), {"color_trc": transfer})
    with pytest.raises(UnusableSourceError, match=name) as caught:
        read(path, hdr="quarantine")
    assert caught.value.reason == "hdr"


def test_chroma_is_taken_from_where_h264_puts_it(tmp_path: Path) -> None:
    """An edge between red and blue: siting at the centre would shift it by half a chroma sample."""
    red, blue = (samples(np.array(c) / 255, 1, 1, 8) for c in ((200, 40, 40), (40, 40, 200)))
    ramp = np.clip((np.arange(64) - 24) / 16, 0, 1)  # slow enough for 4:2:0
    luma = red[0] + (blue[0] - red[0]) * ramp
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "1"})
        stream.height, stream.width, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = 1, 1
        chroma = [
            red[c] + (blue[c] - red[c]) * ramp[::2] for c in (1, 2)
        ]  # co-sited with even luma
        rows = [np.tile(luma, (64, 1)), *(np.tile(plane, (32, 1)) for plane in chroma)]
        planes = np.concatenate([np.rint(row).astype(np.uint8).ravel() for row in rows])
        frame = av.VideoFrame.from_ndarray(planes.reshape(96, 64), format="yuv420p")
        for index in range(3):
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    frames, _ = read(path, size=None)
    expected = np.array([200, 40, 40]) + np.outer(ramp, [-160, 0, 160])
    error = np.abs(frames[0, 32] - expected)
    assert error[4:-4].max() <= 5, "half a sample off would be 10"
