import numpy as np
import pytest
import torch

from videogen.errors import EvaluationError
from videogen.evaluation.extractors.extractor import Extractor


def an_extractor(network, chunk=2, min_frames=1):
    return Extractor("toy", "0" * 64, "fp32", "cpu", chunk, network, min_frames)


def clips_of_means(*means):
    return np.stack([np.full((3, 4, 4, 3), mean, np.uint8) for mean in means])


def means(clips):
    return clips.float().mean(dim=(1, 2, 3))


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_networks_see_chunks_of_one_size_whatever_the_number_of_clips(number):
    seen = []

    def network(clips):
        seen.append(tuple(clips.shape))
        return means(clips)

    found = an_extractor(network)(clips_of_means(*range(number)))
    np.testing.assert_array_equal(found, np.repeat(np.arange(number)[:, None], 3, axis=1))
    assert found.dtype == np.float32
    assert set(seen) == {(2, 3, 4, 4, 3)}


def test_features_are_float32_whatever_the_network_computes_in():
    found = an_extractor(lambda clips: means(clips).bfloat16())(clips_of_means(7, 8))
    assert found.dtype == np.float32


def test_no_gradients_are_kept():
    weight = torch.ones(1, requires_grad=True)
    grads = []

    def network(clips):
        features = means(clips) * weight
        grads.append(features.requires_grad)
        return features

    an_extractor(network)(clips_of_means(1))
    assert grads == [False]


def test_features_that_are_not_finite_are_an_error_that_names_extractor_and_clip():
    def network(clips):
        return means(clips) / (means(clips) - 5)

    with pytest.raises(EvaluationError, match=r"toy \(fp32 on cpu\).* 1 of 3 .*number 1.*weights"):
        an_extractor(network)(clips_of_means(1, 5, 6))


def test_too_short_clips_are_refused_with_both_numbers():
    with pytest.raises(EvaluationError, match="clips have 3 frames; TOY needs at least 9"):
        an_extractor(means, min_frames=9)(clips_of_means(1))


def test_a_network_that_answers_with_maps_is_refused_by_shape():
    with pytest.raises(EvaluationError, match=r"toy answered with shape \(1, 4, 4, 3\)"):
        an_extractor(lambda clips: clips.float().mean(dim=1), chunk=1)(clips_of_means(1))


def test_clips_that_must_not_be_written_to_are_taken():
    clips = clips_of_means(1, 2)
    clips.setflags(write=False)
    assert an_extractor(means)(clips).shape == (2, 3)
