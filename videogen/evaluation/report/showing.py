"""Clips to look at beside a report: real and generated ones, and the closest pairs."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from videogen.artifacts import ClosestPair, EvaluationReport, GeneratorRef
from videogen.evaluation.clips.reals import read_reals
from videogen.evaluation.clips.samples import draw_fakes, open_generator
from videogen.evaluation.features.taking import Means
from videogen.evaluation.report.previews import CLOSEST_PAIRS, ClosestClips, Preview, grid_clips
from videogen.evaluation.setting import Setting

Clips = UInt8[np.ndarray, "n t h w c"]


def preview_of(
    report: EvaluationReport, generator: GeneratorRef, setting: Setting, means: Means
) -> Preview:
    """What is shown with a report: the first clips of those that were judged, and closest pairs.

    Raises:
        VideogenError: the clips or the generator cannot be had any more.
    """
    num = shown(setting)
    return Preview(
        reals=first_reals(setting, means, num),
        fakes=fakes(generator, setting, means, range(num)),
        fps=generator.fps / setting.config.frame_stride,
        title=f"{report.protocol.name} {report.metrics['fvd']:.0f}, "
        f"{generator.clips_seen:,} clips seen",
        closest=_closest(report.closest[:CLOSEST_PAIRS], generator, setting, means),
        provenance=_provenance(report, generator),
    )


def shown(setting: Setting) -> int:
    """How many clips are shown playing."""
    protocol = setting.protocol
    few = grid_clips(protocol.num_frames, protocol.height, protocol.width)
    return min(setting.num_clips, few)


def first_reals(setting: Setting, means: Means, num: int) -> Clips:
    """The first clips of the set A."""
    return read_reals(means.store, setting.dataset, setting.reals.a[:num])


def fakes(generator: GeneratorRef, setting: Setting, means: Means, indices: Sequence[int]) -> Clips:
    """Those clips of a generator that were judged under these numbers."""
    opened = open_generator(means.storage, generator)
    return draw_fakes(opened, setting.config, indices, setting.reals.codec)


def _closest(
    pairs: tuple[ClosestPair, ...], generator: GeneratorRef, setting: Setting, means: Means
) -> ClosestClips | None:
    if not pairs:
        return None
    windows = {(clip.row.clip_id, clip.start): clip for clip in setting.training}
    nearest = [windows[pair.clip_id, pair.start] for pair in pairs]
    return ClosestClips(
        pairs=pairs,
        fakes=fakes(generator, setting, means, [pair.fake for pair in pairs]),
        nearest=read_reals(means.store, setting.dataset, nearest),
    )


def _provenance(report: EvaluationReport, generator: GeneratorRef) -> dict[str, str]:
    named = {"model": generator.model} if generator.model else {"run": generator.run_id}
    return {
        **named,
        "manifest_sha256": generator.manifest_sha256,
        "clips_seen": str(generator.clips_seen),
        "protocol": report.protocol.name,
    }
