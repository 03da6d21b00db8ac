"""What a call of a registered model means."""

import numpy as np
import pandas as pd
import pytest

from videogen.errors import ConfigError
from videogen.registry.request import read_request

PARAMS = {"num_videos": 2, "seed": 5, "num_frames": 16, "truncation": 0.5, "fps": 8.0}


@pytest.mark.parametrize("model_input", [None, [], {}, pd.DataFrame(), np.empty(0)])
def test_without_rows_the_params_say_which_seeds(model_input: object) -> None:
    request = read_request(model_input, PARAMS)
    assert request.seeds == (5, 6)
    assert (request.num_frames, request.truncation, request.fps) == (16, 0.5, 8.0)


@pytest.mark.parametrize(
    "model_input",
    [
        [3, 10],
        np.array([3, 10]),
        {"seed": [3, 10]},
        pd.DataFrame({"seed": [3, 10]}),
        pd.DataFrame({"seed": [3.0, 10.0], "name": ["a", "b"]}),
        pd.DataFrame([3, 10]),
    ],
)
def test_each_row_asks_for_videos_from_its_seed_on(model_input: object) -> None:
    assert read_request(model_input, PARAMS).seeds == (3, 4, 10, 11)


def test_large_seeds_keep_every_digit() -> None:
    seed = 2**63 - 2
    assert read_request([seed], PARAMS).seeds == (seed, seed + 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_videos": 0}, "num_videos 0: give an integer from 1"),
        ({"num_videos": 1_025}, "at most 1024 videos"),
        ({"num_frames": 0}, "num_frames 0"),
        ({"num_frames": 4_097}, "num_frames 4097: give an integer from 1 to 4096"),
        ({"num_frames": 2.5}, "num_frames 2.5: give an integer"),
        ({"truncation": -0.1}, "truncation -0.1: give a number from 0 to 1.5"),
        ({"truncation": 1.6}, "truncation 1.6"),
        ({"truncation": float("nan")}, "truncation nan: give a finite number"),
        ({"truncation": "wide"}, "truncation 'wide': give a number"),
        ({"fps": 0.0}, "fps 0"),
        ({"fps": 1e9}, "fps 1"),
        ({"seed": -1}, "seed -1: give an integer from 0"),
        ({"seed": 2**63 - 1}, "seed 9223372036854775808"),
        ({"seed": True}, "seed True: give a number"),
    ],
)
def test_a_value_out_of_range_is_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_request(None, {**PARAMS, **changes})


@pytest.mark.parametrize(
    ("model_input", "message"),
    [
        (pd.DataFrame({"sead": [1]}), r"the columns \['sead'\]: give one named 'seed'"),
        (["one"], "seed 'one': give a number"),
        ([1.5], "seed 1.5: give an integer"),
    ],
)
def test_an_input_that_holds_no_seeds_is_refused(model_input: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_request(model_input, PARAMS)
