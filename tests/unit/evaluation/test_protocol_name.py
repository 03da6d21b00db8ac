import pytest

from videogen.errors import ConfigError
from videogen.evaluation.protocol_name import ProtocolName


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("fvd2048_16f", ProtocolName(2048, 16)),
        ("fvd2048_128f", ProtocolName(2048, 128)),
        ("fvd2048_128f_subsample8f", ProtocolName(2048, 16, 8)),
        ("fvd256_16f", ProtocolName(256, 16)),
    ],
)
def test_a_published_name_means_its_counts_and_is_spelled_from_them(name, meant):
    assert ProtocolName.parse(name) == meant
    assert str(meant) == name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("fvd2048", "as in fvd2048_16f"),
        ("FVD2048_16f", "as in fvd2048_16f"),
        ("fvd0_16f", "as in fvd2048_16f"),
        ("fvd1_16f", "at least 2"),
        ("fvd2048_128f_subsample7f", "128 frames are no multiple of the stride 7"),
        ("fvd2048_128f_subsample0f", "no multiple of the stride 0"),
        ("fvd2048_64f_subsample8f", "takes 8 frames of a clip; I3D needs at least 9"),
    ],
)
def test_a_name_that_cannot_be_followed_is_refused(name, said):
    with pytest.raises(ConfigError, match=said):
        ProtocolName.parse(name)
