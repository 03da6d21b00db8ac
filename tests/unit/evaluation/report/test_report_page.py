"""The page: self-contained, escaped, complete, and the same bytes for the same report."""

import re
from html.parser import HTMLParser

import pytest
from some_report import PAIRS, PROTOCOL, report

from videogen.artifacts import ClosestPair, ComparedModel, ComparisonReport, ModelDifference
from videogen.evaluation.report.comparison_page import render_comparison
from videogen.evaluation.report.page import render

HOSTILE = "\"'><script>alert(1)</script><img src=//evil onerror=x>"
PICTURES = {
    "sheet.png": b"\x89PNG-sheet",
    "closest.png": b"\x89PNG-closest",
    "real.mp4": b"mp4-real",
    "preview.mp4": b"mp4-fake",
    "report.txt": b"text",
}


class Elements(HTMLParser):
    """Tags with their attributes, and the text between."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.words.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of all elements of a tag."""
        return [attributes for name, attributes in self.found if name == tag]

    @property
    def text(self) -> str:
        """All that is read, with single spaces."""
        return " ".join(" ".join(self.words).split())


def comparison(**changes: object) -> ComparisonReport:
    """Two models of which the second is better."""
    names = ("models:/m/1", "models:/m/2")
    models = tuple(
        ComparedModel(
            model=name,
            manifest_sha256="ab" * 32,
            clips_seen=40_000,
            metrics={"fvd": fvd},
            intervals={"fvd": (fvd - 20, fvd + 20)},
            notes=(f"note of {name}",),
        )
        for name, fvd in zip(names, (431.0, 380.0), strict=True)
    )
    difference = ModelDifference(
        model=names[0],
        other=names[1],
        difference=51.0,
        interval=(20.0, 80.0),
        p_value=0.003,
        better=names[1],
    )
    fields = {
        "models": models,
        "differences": (difference,),
        "yardsticks": {"floor": 116.0, "blank": 714.0},
        "protocol": PROTOCOL,
    }
    return ComparisonReport.model_validate(fields | changes)


@pytest.fixture(params=["report", "comparison"])
def page(request: pytest.FixtureRequest) -> str:
    """Either page, with pictures."""
    if request.param == "report":
        return render(report(), PICTURES)
    return render_comparison(comparison(), PICTURES | {"model-1.mp4": b"1", "model-2.mp4": b"2"})


def test_a_page_reaches_nothing_and_runs_nothing(page: str) -> None:
    elements = Elements(page)
    policy = next(
        one["content"]
        for one in elements.named("meta")
        if one.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    allowed = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert allowed.pop("default-src") == "'none'"
    assert allowed.pop("style-src") == "'unsafe-inline'"
    assert set(allowed.values()) <= {"data:", "'none'"}
    assert not elements.named("script")
    assert not elements.named("link")
    assert "://" not in re.sub(r"base64,[^\"]*", "", page)
    addresses = [one[name] for _, one in elements.found for name in ("src", "href") if name in one]
    assert addresses
    assert all(address.startswith("data:") for address in addresses if address)


def test_a_page_depends_on_its_report_alone_and_not_on_how_long_it_took() -> None:
    assert render(report(seconds=1.0), PICTURES) == render(report(seconds=99.0), dict(PICTURES))


def test_all_of_a_report_is_on_its_page() -> None:
    text = Elements(render(report(), PICTURES)).text
    for field, value in PROTOCOL.model_dump().items():
        if isinstance(value, dict):
            assert all(f"{name}" in text and digest in text for name, digest in value.items())
        else:
            shown = f"{value:,}" if isinstance(value, int) else str(value)
            assert shown.lower() in text.lower(), field
    for name in (*report().metrics, *report().yardsticks):
        assert name in text
    assert "431 (95 %: 401 to 463)" in text
    assert "It lies between frozen clips (295) and blank clips (714)." in text
    assert "no floor could be had for something" in text
    assert "0b" * 32 in text
    assert "AI-generated" in text
    for pair in PAIRS:
        assert f"{pair.fake} {pair.distance:.2f} {pair.clip_id} {pair.start}" in text


def test_previews_play_by_themselves_real_beside_generated() -> None:
    videos = Elements(render(report(), PICTURES)).named("video")
    assert [one["src"] for one in videos] == [
        "data:video/mp4;base64,bXA0LXJlYWw=",
        "data:video/mp4;base64,bXA0LWZha2U=",
    ]
    assert all({"autoplay", "loop", "muted", "playsinline"} <= set(one) for one in videos)


def test_text_from_outside_is_never_markup() -> None:
    hostile = report(
        model=f"models:/{HOSTILE}/1",
        metrics={"fvd": 400.0, HOSTILE: 1.0},
        yardsticks={HOSTILE: 3.0},
        closest=(ClosestPair(fake=1, clip_id=HOSTILE, start=0, distance=1.0),),
        notes=(HOSTILE,),
        previews={HOSTILE: HOSTILE},
        protocol=PROTOCOL.model_copy(
            update={"split": HOSTILE, "extractors": {HOSTILE: HOSTILE}, "name": HOSTILE}
        ),
    )
    elements = Elements(render(hostile, {}))
    assert not elements.named("script")
    assert not elements.named("img")
    assert not [one for _, one in elements.found if "onerror" in one]
    assert elements.text.count(HOSTILE) >= 8


def test_a_comparison_escapes_the_names_of_models() -> None:
    model = comparison().models[0].model_copy(update={"model": HOSTILE, "notes": (HOSTILE,)})
    elements = Elements(render_comparison(comparison(models=(model,), notes=(HOSTILE,)), {}))
    assert not elements.named("script")
    assert not elements.named("img")
    assert HOSTILE in elements.text


def test_a_report_without_curves_pictures_or_intervals_is_a_page_too() -> None:
    bare = report(
        curves={}, closest=(), intervals={}, yardsticks={}, notes=(), metrics={"fvd": 431.2}
    )
    elements = Elements(render(bare, {}))
    assert not elements.named("svg")
    assert not elements.named("img")
    assert "431" in elements.text
    assert "no value" not in Elements(render(report(metrics={}), {})).text


def test_each_curve_has_its_plot() -> None:
    whole = report().curves
    for family, title in (
        ("motion", "Motion, by how fast it is"),
        ("fvd", "FVD against 1/N"),
        ("nearest", "Distance to the nearest training clip"),
    ):
        curves = {name: one for name, one in whole.items() if not name.startswith(f"{family}/")}
        without = Elements(render(report(curves=curves), {}))
        assert len(without.named("svg")) == 2
        assert title not in without.text
        assert title in Elements(render(report(), {})).text


def test_a_comparison_shows_verdicts_and_a_column_for_each_model() -> None:
    chance = comparison().differences[0].model_copy(update={"better": None, "p_value": 0.4})
    text = Elements(render_comparison(comparison(), {})).text
    assert "models:/m/2 is better (FVD difference 51.0, 95 %: 20.0 to 80.0, p = 0.003)" in text
    assert "431 411 to 451 380 360 to 400" in text
    assert "models:/m/1: note of models:/m/1" in text
    unsure = Elements(render_comparison(comparison(differences=(chance,)), {})).text
    assert "the difference may be chance" in unsure
    assert "is better" not in unsure


def test_models_of_a_comparison_play_in_the_order_of_its_table() -> None:
    pictures = {"real.mp4": b"0", "model-1.mp4": b"1", "model-2.mp4": b"2"}
    videos = Elements(render_comparison(comparison(), pictures)).named("video")
    assert [one["src"] for one in videos] == [
        f"data:video/mp4;base64,{one}" for one in ("MA==", "MQ==", "Mg==")
    ]
    assert [str(one["aria-label"]).split(",")[0] for one in videos] == [
        "real clips",
        "models:/m/1",
        "models:/m/2",
    ]
