"""Options of `videogen fvd` that cannot be followed."""

import numpy as np
import pytest

from videogen.cli import app


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--protocol", "fvd2048"], "give fvdCLIPS_FRAMESf"),
        (["--protocol", "fvd64_16f", "--stride", "2"], "leave --num-frames and --stride out"),
        (["--protocol", "fvd64_16f", "--num-frames", "16"], "leave --num-frames and --stride out"),
        (["--covariance", "n-2"], "choose one of n-1, n"),
    ],
)
def test_what_is_asked_for_wrongly_is_bad_usage(monkeypatch, capsys, tmp_path, options, said):
    monkeypatch.setattr(app, "_take_signals", lambda: None)
    assert app.run_command(["fvd", "a.npy", "b.npy", *options]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--protocol", "fvd2_8f"], "8 frames of a clip; I3D needs at least 9"),
        (["--protocol", "fvd2_24f_subsample2f"], "12 frames a clip and 12 over 23 are asked for"),
        (["--stride", "2"], "12 frames a clip and 6 over 11 are asked for"),
        (["--num-frames", "13"], "12 frames a clip and 13 are asked for"),
    ],
)
def test_frames_that_clips_do_not_have_are_named(monkeypatch, capsys, tmp_path, options, said):
    monkeypatch.setattr(app, "_take_signals", lambda: None)
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((3, 12, 16, 16, 3), np.uint8))
    assert app.run_command(["fvd", str(path), str(path), *options]) in (1, 2)
    assert said in capsys.readouterr().err
