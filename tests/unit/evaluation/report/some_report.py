"""A report with everything in it, and clips to show beside it."""

import numpy as np

from videogen.artifacts import ClosestPair, EvaluationReport, Protocol
from videogen.evaluation.report.previews import ClosestClips, Preview

PROTOCOL = Protocol(
    name="fvd2048_16f",
    extractor="i3d-kinetics-400",
    extractor_sha256="af" * 32,
    num_real=2048,
    num_fake=2048,
    num_frames=16,
    frame_stride=2,
    height=32,
    width=48,
    split="train",
    seed=77,
    snapshot="17" * 32,
    num_training=4096,
    extractors={"videomae": "bb" * 32},
)
PAIRS = tuple(
    ClosestPair(fake=17 * one, clip_id=f"{one:02x}" * 32, start=one, distance=1.0 + one)
    for one in range(3)
)


def report(**changes: object) -> EvaluationReport:
    """A generator between frozen and blank clips, with whatever is to be different."""
    fields: dict[str, object] = {
        "metrics": {
            "fvd": 431.2,
            "fvd_infinity": 352.0,
            "kvd": 12.3,
            "diversity": 0.81,
            "near_copies": 0.05,
            "motion_energy": 0.74,
            "fd_videomae": 88.5,
        },
        "intervals": {"fvd": (401.3, 462.9)},
        "yardsticks": {"blank": 714.0, "floor": 116.0, "frozen": 295.0, "shuffled": 205.0},
        "curves": {
            "motion/frequency": (0.0, 0.25, 0.5),
            "motion/real": (100.0, 30.0, 10.0),
            "motion/fake": (60.0, 9.0, 5.0),
            "fvd/inverse_n": (1 / 512, 1 / 1024, 1 / 2048),
            "fvd/value": (672.0, 512.0, 432.0),
            "nearest/real": tuple(np.linspace(1, 5, 101).tolist()),
            "nearest/fake": tuple(np.linspace(2, 8, 101).tolist()),
        },
        "closest": PAIRS,
        "protocol": PROTOCOL,
        "checkpoint_manifest_sha256": "0b" * 32,
        "notes": ("no floor could be had for something",),
    }
    return EvaluationReport.model_validate(fields | changes)


def clips(num: int, num_frames: int = 9, seed: int = 0) -> np.ndarray:
    """Noise, uint8 (n t 32 48 3)."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (num, num_frames, 32, 48, 3)).astype(np.uint8)


def preview(num_reals: int = 9, num_fakes: int = 9) -> Preview:
    """Real and generated clips, and three closest pairs."""
    return Preview(
        reals=clips(num_reals, seed=1),
        fakes=clips(num_fakes, seed=2),
        fps=8.0,
        title="fvd2048_16f 431",
        closest=ClosestClips(PAIRS, clips(3, seed=3), clips(3, seed=4)),
        provenance={"run_id": "r1"},
    )
