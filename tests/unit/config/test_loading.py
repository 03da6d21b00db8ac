"""Configs: what is refused, how it is said, and what decides a digest."""

from pathlib import Path

import pytest
import yaml

from videogen.config.loading import apply_overrides, build_config, read_document, to_yaml
from videogen.config.run import STAGE_FORMATS, STAGES, RunConfig
from videogen.errors import ConfigError
from videogen.presets import PRESETS, load_config


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("ingest.resolutoin=3", "did you mean 'ingest.resolution'"),
        ("resolution=3", "did you mean 'ingest.resolution'"),
        ("train.model.latent=3", "unknown key 'train.model.latent'"),
        ("ingest.fps=abc", "ingest.fps: "),
        ("train.learning_rate.start=.nan", "train.learning_rate.start: input should be a finite"),
        ("train.max_hours=.inf", "train.max_hours: input should be a finite"),
        ("train.num_frames=40", "needs clips of 40 frames"),
        ("evaluate.num_frames=8", "greater than or equal to 9"),
        ("train.model.kind=dcgun", "'dcgan'"),
        ("train.total_clips=1", "at least one global_batch_size"),
        ("train.best_metric=fvd", "what evaluations measure: set online_evaluation"),
        ("execution.num_workers=1000", "at least execution.num_workers"),
        ("name=../x", "name: "),
        ("register.model_name=a/b", "register.model_name: "),
        ("ingest", "expected section.key=value"),
        ("name.x=1", "no section"),
    ],
)
def test_a_wrong_override_is_refused_by_its_key(override: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config("demo", [override])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_survives_the_way_through_yaml(name: str, tmp_path: Path) -> None:
    preset = PRESETS[name]()
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(preset))
    assert load_config(str(path)) == preset
    assert preset.name == name


def test_a_figure_of_evaluations_may_decide_which_checkpoint_is_best_where_it_is_measured() -> None:
    online = "train.online_evaluation.interval_clips=10"
    config = load_config("demo", [online, "train.best_metric=kvd"])
    assert config.train.online_evaluation is not None
    assert config.train.online_evaluation.num_clips == 64
    assert config.digest == load_config("demo").digest  # it changes nothing of what is made
    with pytest.raises(ConfigError, match=r"'fd_mae' names an extractor that is not in .*fvd, kvd"):
        load_config("demo", [online, "train.best_metric=fd_mae"])
    model = {"name": "mae", "path": "/models/mae.safetensors", "sha256": "0" * 64}
    extractors = f"evaluate.extractors=[{model}]"
    assert load_config("demo", [online, extractors, "train.best_metric=fd_mae"])


@pytest.mark.parametrize("path", ["mae.safetensors", "~/mae.safetensors", "s3://bucket/mae"])
def test_an_extractor_is_where_every_worker_finds_it(path: str) -> None:
    model = {"name": "mae", "path": path, "sha256": "0" * 64}
    with pytest.raises(ConfigError, match=f"extractors: '{path}' is no whole path, and workers"):
        load_config("demo", [f"evaluate.extractors=[{model}]"])


@pytest.mark.parametrize("url", ["https://host/m.pt?token=planted", "https://me:planted@host/m.pt"])
def test_a_config_keeps_no_secret_of_an_extractors_url(url: str) -> None:
    model = {"name": "mae", "path": url, "sha256": "0" * 64}
    with pytest.raises(ConfigError, match="may be secrets") as refused:
        load_config("demo", [f"evaluate.extractors=[{model}]"])
    assert "planted" not in str(refused.value)


def test_overrides_are_yaml_and_reach_any_depth() -> None:
    config = load_config(
        "demo", ["ingest.sources=[a b, 'c: d']", "train.gamma=2", "name=2024", "train.seed=7"]
    )
    assert config.ingest.sources == ("a b", "c: d")
    assert (config.train.gamma.start, config.train.gamma.end) == (2, 2)
    assert (config.name, config.train.seed) == ("2024", 7)


@pytest.mark.parametrize("switch", ["on", "off", "auto"])
def test_a_switch_is_what_was_written_although_yaml_takes_it_for_a_truth(switch: str) -> None:
    assert load_config("demo", [f"train.compile={switch}"]).train.compile == switch


def test_another_model_kind_starts_from_that_models_defaults() -> None:
    base = load_config("demo")
    other = "r3gan-v" if base.train.model.kind == "dcgan" else "dcgan"
    assert load_config("demo", [f"train.model.kind={other}"]).train.model.kind == other


def test_one_integer_stands_for_a_square() -> None:
    document = apply_overrides({}, ["ingest.resolution=48"])
    assert build_config(document).ingest.resolution == (48, 48)


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", "just words"])
def test_a_file_that_holds_no_mapping_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"bad\.yaml"):
        read_document(path)


def test_a_missing_file_is_refused_with_the_presets() -> None:
    with pytest.raises(ConfigError, match=r"nope\.yaml.*demo"):
        load_config("nope.yaml")


HOW = [
    "execution.num_workers=1",
    "storage.root=/elsewhere",
    "train.log_interval_clips=1",
    "train.checkpoint_interval_clips=32",
    "ingest.sources=[elsewhere]",
    "evaluate.batch_size=2",
]


@pytest.mark.parametrize("override", HOW)
def test_how_and_where_to_run_decides_no_stage_document(override: str) -> None:
    before, after = load_config("demo"), load_config("demo", [override])
    assert before != after
    for stage in STAGES:
        assert before.stage_document(stage) == after.stage_document(stage)


@pytest.mark.parametrize(
    ("override", "stage"),
    [
        ("ingest.fps=7", "ingest"),
        ("train.seed=5", "train"),
        ("train.model.content_dim=7", "train"),
        ("train.gamma=0.123", "train"),
        ("evaluate.num_clips=9", "evaluate"),
        ("register.model_name=other", "register"),
        ("name=other", "register"),
    ],
)
def test_what_to_make_decides_the_document_of_its_stage_alone(override: str, stage: str) -> None:
    before = RunConfig()
    after = build_config(
        apply_overrides(yaml.safe_load(to_yaml(before)), [override]),
    )
    changed = [one for one in STAGES if before.stage_document(one) != after.stage_document(one)]
    assert changed == [stage]


def test_frames_that_would_be_made_otherwise_are_another_ingest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = RunConfig()
    before = config.ingest_digest
    assert load_config("demo", ["ingest.fps=7"]).ingest_digest != load_config("demo").ingest_digest
    assert load_config("demo", HOW).ingest_digest == load_config("demo").ingest_digest
    monkeypatch.setitem(STAGE_FORMATS, "ingest", STAGE_FORMATS["ingest"] + 1)
    assert config.ingest_digest != before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name: a\nname: b\n", "key 'name' is given twice"),
        (b"\xff\xfe", "UTF-8"),
        (b"a: " + b"[" * 20_000, "not YAML"),
        (b"#" * (2 << 20), "is it the right file?"),
        (b"name: " + b"x" * 5_000, "xxx...)"),
        (b"ingest: {sources: videos}", "ingest.sources: a list is wanted, as in [a, b]"),
        (b"train: 5", "train: a section of keys is wanted"),
        (b"- a", "a mapping of sections is wanted"),
    ],
)
def test_a_file_that_is_no_config_is_refused_in_one_line(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(str(path))
    assert said in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_directory_is_no_config(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Is a directory"):
        load_config(str(tmp_path))
