import hashlib
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from videogen.config.evaluate import ExtractorConfig
from videogen.errors import EvaluationError
from videogen.evaluation.extractors.opening import open_extractor

CLIPS = np.random.default_rng(0).integers(0, 256, (3, 4, 6, 8, 3), dtype=np.uint8)


class Plain(nn.Module):
    def forward(self, clips):
        return clips.mean(dim=[2, 3, 4])


class LikeI3d(nn.Module):
    """With the arguments of the usual file; answers with what it was asked for."""

    def forward(
        self,
        clips,
        rescale: bool = False,  # noqa: FBT001, FBT002 - as the usual file has it
        resize: bool = False,  # noqa: FBT001, FBT002
        return_features: bool = False,  # noqa: FBT001, FBT002
    ):
        if rescale and resize and return_features:
            return clips.mean(dim=[2, 3, 4])
        return clips.flatten(1)


class Narrow(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(5, 2)

    def forward(self, clips):
        return self.head(clips.flatten(1))


def saved(module, path):
    """A config of the scripted module."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(module).save(str(path))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return ExtractorConfig(name="toy", path=str(path), sha256=digest)


def test_models_see_channels_before_time_in_minus_one_to_one(tmp_path):
    extractor = open_extractor(saved(Plain(), tmp_path / "plain.pt"), tmp_path)
    expected = (CLIPS / 127.5 - 1).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(extractor(CLIPS), expected, atol=1e-5)
    assert (extractor.name, extractor.precision) == ("toy", "fp32")


def test_the_usual_i3d_file_scales_and_resizes_itself_and_gives_features(tmp_path):
    extractor = open_extractor(saved(LikeI3d(), tmp_path / "i3d.pt"), tmp_path)
    np.testing.assert_allclose(extractor(CLIPS), CLIPS.mean(axis=(1, 2, 3)), rtol=1e-5)


def test_an_extractor_is_opened_once_in_a_process(tmp_path):
    wanted = saved(Plain(), tmp_path / "plain.pt")
    assert open_extractor(wanted, tmp_path) is open_extractor(wanted, tmp_path)
    assert open_extractor(wanted, tmp_path, "bf16") is not open_extractor(wanted, tmp_path)


def test_a_file_of_another_kind_is_refused_by_path(tmp_path):
    path = tmp_path / "text.pt"
    path.write_text("no model")
    digest = hashlib.sha256(b"no model").hexdigest()
    for kind, words in (("torchscript", "no TorchScript module"), ("videomae", "no VideoMAE")):
        wanted = ExtractorConfig(name="toy", kind=kind, path=str(path), sha256=digest)
        with pytest.raises(EvaluationError, match=f"text.pt holds {words}.*kind"):
            open_extractor(wanted, tmp_path)


def test_code_of_a_file_whose_hash_is_another_never_runs(tmp_path):
    wanted = saved(Plain(), tmp_path / "plain.pt").model_copy(update={"sha256": "0" * 64})
    with pytest.raises(EvaluationError, match=f"expected {'0' * 64}"):
        open_extractor(wanted, tmp_path)


def test_clips_that_a_model_cannot_take_are_one_line_with_their_shape(tmp_path):
    extractor = open_extractor(saved(Narrow(), tmp_path / "narrow.pt"), tmp_path)
    with pytest.raises(EvaluationError, match=r"toy .*\(1, 3, 4, 6, 8\)") as caught:
        extractor(CLIPS)
    assert "\n" not in str(caught.value)
