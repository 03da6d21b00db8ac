"""Models side by side: the same seeds and reals, and whether their FVDs differ beyond chance."""

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Final

from videogen.artifacts import (
    ComparedModel,
    ComparisonReport,
    EvaluationReport,
    GeneratorRef,
    ModelDifference,
)
from videogen.evaluation.features.store import Columns, Role
from videogen.evaluation.features.taking import Means, take_all
from videogen.evaluation.judging import report_of
from videogen.evaluation.metrics.paired import paired_difference
from videogen.evaluation.report.comparison_page import render_comparison
from videogen.evaluation.report.previews import ComparisonPreview, draw_comparison
from videogen.evaluation.report.showing import fakes, first_reals, shown
from videogen.evaluation.setting import Setting

PAGE: Final = "comparison.html"
REPORT: Final = "comparison.json"
_ALL_PAIRS: Final = 3
"""Up to so many models each is set against each other one, more against the first alone."""


def compare(generators: Sequence[GeneratorRef], setting: Setting, means: Means) -> ComparisonReport:
    """Judge generators by one setting; the same report however many workers there are.

    Clip i of each is drawn from the same seed, and all are compared with the same reals: what the
    choice of either adds to two FVDs is the same, and drops out of their difference.

    Raises:
        VideogenError: the data, a generator or the weights cannot be used.
    """
    started = time.monotonic()
    features = take_all(generators, setting, means)
    reports = [
        report_of(generator, setting, one, started)
        for generator, one in zip(generators, features, strict=True)
    ]
    differences = tuple(_differences(generators, features, setting))
    shared = [note for note in reports[0].notes if all(note in one.notes for one in reports)]
    return ComparisonReport(
        models=tuple(
            _entry(generator, report, [note for note in report.notes if note not in shared])
            for generator, report in zip(generators, reports, strict=True)
        ),
        differences=differences,
        yardsticks=reports[0].yardsticks,
        protocol=setting.protocol,
        notes=(*shared, *_of_many(differences)),
        seconds=time.monotonic() - started,
    )


def files_of(
    report: ComparisonReport, generators: Sequence[GeneratorRef], setting: Setting, means: Means
) -> dict[str, bytes]:
    """What people look at, by file name: a page, a sheet, playing grids, the report as JSON.

    Raises:
        VideogenError: clips cannot be had any more, or a file cannot be made.
    """
    num = shown(setting)
    preview = ComparisonPreview(
        reals=first_reals(setting, means, num),
        fakes={
            _name(generator): fakes(generator, setting, means, range(num))
            for generator in generators
        },
        fps=generators[0].fps / setting.config.frame_stride,
    )
    pictures = draw_comparison(preview)
    return {
        **pictures,
        PAGE: render_comparison(report, pictures).encode(),
        REPORT: report.model_dump_json(indent=2).encode(),
    }


def _name(generator: GeneratorRef) -> str:
    return generator.model or generator.prefix


def _entry(generator: GeneratorRef, report: EvaluationReport, own: Sequence[str]) -> ComparedModel:
    return ComparedModel(
        model=_name(generator),
        manifest_sha256=generator.manifest_sha256,
        clips_seen=generator.clips_seen,
        metrics=report.metrics,
        intervals=report.intervals,
        notes=tuple(own),
    )


def _of_many(differences: Sequence[ModelDifference]) -> tuple[str, ...]:
    """What is to be said where more than one pair was looked at."""
    if len(differences) < 2:  # noqa: PLR2004 - more than one
        return ()
    note = (
        f"{len(differences)} pairs were tested, each by itself: of equally good models about one "
        "pair in twenty is told apart by chance"
    )
    return (note,)


def _pairs(num: int) -> Iterator[tuple[int, int]]:
    if num <= _ALL_PAIRS:
        yield from combinations(range(num), 2)
    else:
        yield from ((0, other) for other in range(1, num))


def _differences(
    generators: Sequence[GeneratorRef], features: Sequence[Mapping[Role, Columns]], setting: Setting
) -> Iterator[ModelDifference]:
    names = [_name(generator) for generator in generators]
    for one, other in _pairs(len(names)):
        found = paired_difference(
            features[one]["real"]["i3d"],
            features[one]["fake"]["i3d"],
            features[other]["fake"]["i3d"],
            setting.config.covariance,
            setting.config.seed,
        )
        nearer = names[one] if found.value < 0 else names[other]
        yield ModelDifference(
            model=names[one],
            other=names[other],
            difference=found.value,
            interval=found.interval,
            p_value=found.p_value,
            better=nearer if found.significant else None,
        )
