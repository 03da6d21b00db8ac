"""Faults that tests of the training core must find, each as a small edit of one file."""

from typing import NamedTuple

_TRAINING = "tests/unit/training"


class Mutation(NamedTuple):
    """One fault."""

    name: str
    path: str
    """Below the repository's root."""
    right: str
    """What stands there, once."""
    wrong: str
    tests: tuple[str, ...]
    """Of which at least one must fail; without any fault all pass."""


MUTATIONS = (
    Mutation(
        "R2 is dropped",
        "videogen/training/objective.py",
        'self.gamma / 2 * (means["r1"] + means["r2"])',
        'self.gamma / 2 * means["r1"]',
        (f"{_TRAINING}/test_step.py",),
    ),
    Mutation(
        "the generator goes the other way",
        "videogen/losses.py",
        "F.softplus(real_logits - fake_logits)",
        "-F.softplus(real_logits - fake_logits)",
        (f"{_TRAINING}/test_step.py",),
    ),
    Mutation(
        "EMA is inverted",
        "videogen/training/ema.py",
        "current, 1.0 - decay)",
        "current, decay)",
        (f"{_TRAINING}/test_ema.py",),
    ),
    Mutation(
        "progress is a worker's own",
        "videogen/training/loop.py",
        "clips_seen, clips_seen + config.global_batch_size",
        "clips_seen, clips_seen + len(real.frames)",
        (f"{_TRAINING}/test_loop.py",),
    ),
    Mutation(
        "shares are not weighted",
        "videogen/training/step.py",
        "weight = self._parallel.weight(end - start, self.share.global_batch)",
        "weight = (end - start) / self.share.size",
        (f"{_TRAINING}/test_step.py",),
    ),
    Mutation(
        "micro-batches count as whole shares",
        "videogen/training/step.py",
        "weight = self._parallel.weight(end - start, self.share.global_batch)",
        "weight = self._parallel.weight(self.share.size, self.share.global_batch)",
        (f"{_TRAINING}/test_micro_batches.py",),
    ),
    Mutation(
        "the limit of the norm makes gradients longer",
        "videogen/training/optimizer.py",
        "(norm / self._max_norm).clamp(min=1.0)",
        "(self._max_norm / norm).clamp(max=1.0)",
        (f"{_TRAINING}/test_optimizer.py",),
    ),
    Mutation(
        "steps that are not finite are applied",
        "videogen/training/optimizer.py",
        '("found_inf", self.skipped)',
        '("found_inf", torch.zeros_like(norm))',
        (f"{_TRAINING}/test_optimizer.py",),
    ),
    Mutation(
        "penalties do not count for the clips that wait",
        "videogen/training/objective.py",
        "self.penalty_interval * means[name]",
        "means[name]",
        (f"{_TRAINING}/test_step.py",),
    ),
    Mutation(
        "every worker draws the first one's fakes",
        "videogen/training/draws.py",
        "rows[self.share.start * per_clip : self.share.end * per_clip]",
        "rows[: self.share.size * per_clip]",
        (f"{_TRAINING}/test_step_draws.py",),
    ),
    Mutation(
        "a schedule forgets where the run is",
        "videogen/training/step.py",
        "gamma=cosine(config.gamma, clips_seen, total)",
        "gamma=cosine(config.gamma, 0, total)",
        (f"{_TRAINING}/test_step.py",),
    ),
    Mutation(
        "every worker goes on with the first one's random state",
        "videogen/training/checkpoint.py",
        'random.get(f"{rank}.cpu")',
        'random.get("0.cpu")',
        (f"{_TRAINING}/test_checkpoint.py",),
    ),
    Mutation(
        "an optimiser is not restored",
        "videogen/training/optimizer.py",
        "self._adam.state.update(moments)",
        "del moments",
        (f"{_TRAINING}/test_step_state.py",),
    ),
    Mutation(
        "the last window of a clip is never seen",
        "videogen/data/loading/order.py",
        "starts = clip_frames - (num_frames - 1) * stride",
        "starts = clip_frames - num_frames * stride",
        ("tests/unit/data/test_order.py",),
    ),
    Mutation(
        "workers hold overlapping samples",
        "videogen/data/loading/order.py",
        "return self.rank * size + min(self.rank, larger)",
        "return self.rank * size",
        ("tests/unit/data/test_order.py",),
    ),
)
