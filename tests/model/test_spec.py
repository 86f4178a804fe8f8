from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import tiny
from thaw.config.model_sections import Head
from thaw.config.params import Params
from thaw.data.preprocessing import Preprocessing
from thaw.data.resizing import Interpolation
from thaw.model import spec as module
from thaw.model.calibration import LARGEST_SCALE, SMALLEST_SCALE, Calibration
from thaw.model.head import ACTIVATIONS, HeadSpec
from thaw.model.sealed_files import ChangedError, digest_of
from thaw.model.spec import FORMAT, MIGRATIONS, FileName, ModelSpec, Parent, parse
from thaw.registry.starting_model import head_spec

FORMATS = Path(__file__).parents[1] / "formats"
OLD = FORMATS / "2" / "one_tap_merged" / "model.json"


def sealed(**changes: Any) -> str:
    """Return the old ``model.json`` with ``changes`` and the digest that belongs to them."""
    content = {**json.loads(OLD.read_text()), **changes}
    return json.dumps({**content, "digest": digest_of(content)})


def test_a_spec_of_an_older_format_keeps_its_content_and_the_digest_of_its_file() -> None:
    content = json.loads(OLD.read_text())
    found = parse(OLD.read_text())
    assert (found.format, found.digest) == (FORMAT, content["digest"])
    assert found.head == HeadSpec(taps=[3])
    kept = found.model_dump(mode="json", exclude={"format"})
    assert kept["preprocessing"].pop("pixel_range") == "clip"
    assert kept.pop("calibration") is None
    assert kept.pop("mirrored") is False
    assert kept == {key: value for key, value in content.items() if key != "format"}


def test_every_older_format_has_one_migration_and_a_folder_of_models() -> None:
    assert sorted(MIGRATIONS) == list(range(min(MIGRATIONS), FORMAT))
    folders = {int(path.name) for path in FORMATS.iterdir() if path.name.isdigit()}
    assert folders == {*MIGRATIONS, FORMAT}


@pytest.mark.parametrize("number", [1, FORMAT + 1, "2", None])
def test_an_unknown_format_is_refused_with_the_known_ones(number: object) -> None:
    with pytest.raises(
        ValueError, match="reads the formats 2, 3, 4, 5: a newer format needs a newer"
    ):
        parse(sealed(format=number))


def test_a_changed_spec_is_refused() -> None:
    with pytest.raises(ChangedError):
        parse(OLD.read_text().replace("one", "two").replace("red", "rose"))


@pytest.mark.parametrize(
    "changes",
    [
        {"colour": "red"},
        {"classes": "blue"},
        {"head": {"dropout": 2.0}},
        {"format": FORMAT, "calibration": {"scale": [0.0]}},
        {"format": FORMAT, "calibration": {"scale": [0.5, 0.5], "offset": [0.0, 0.0]}},
    ],
)
def test_a_spec_that_does_not_follow_the_schema_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        parse(sealed(**changes))


def test_sealing_a_spec_twice_gives_the_same_digest() -> None:
    found = parse(OLD.read_text())
    once = found.sealed(found.files)
    assert once.sealed(found.files) == once
    assert parse(once.model_dump_json()) == once


def test_a_model_made_from_another_one_is_not_calibrated_yet() -> None:
    found = parse(OLD.read_text()).model_copy(update={"calibration": Calibration(scale=[0.5])})
    assert found.after("unfreeze", tiny.classifier(), []).calibration is None


def test_a_calibration_that_changes_a_probability_changes_the_digest_of_the_content() -> None:
    found = parse(OLD.read_text())
    calibrated, unchanged = (
        found.model_copy(update={"calibration": Calibration(scale=[scale])}) for scale in (0.5, 1.0)
    )
    assert calibrated.content_digest != found.content_digest
    assert unchanged.content_digest == found.content_digest


def test_a_new_head_parameter_with_a_default_leaves_old_models_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class LaterHead(HeadSpec):
        scale: float = 1.0

    class LaterSpec(ModelSpec):
        head: LaterHead

    texts = [path.read_text() for path in FORMATS.rglob("model.json")]
    before = [parse(text) for text in texts]
    monkeypatch.setattr(module, "ModelSpec", LaterSpec)
    after = [parse(text) for text in texts]
    assert [spec.digest for spec in after] == [spec.digest for spec in before]
    assert all(isinstance(spec, LaterSpec) and spec.head.scale == 1.0 for spec in after)


# Registered versions have this digest as a tag, by which an equal model is found.
CONTENT_DIGESTS = {
    "2/one_tap_affine": "9744732cbf4c885cf7fa1eaa5a12c04450b44da7a8e6bb0747762cc43551aba9",
    "2/one_tap_merged": "5e12082a6763bb79b31a4b9a0d96c11b4cb8273602c2b002f4b78aed62c6a2b5",
    "2/several_taps_merged": "f9bb5e172ab5b84a378f8e8aa252b2f875e2421f6717230b00e954a80c2f7ab8",
    "2/vit_merged": "527db6b64a5fb10ee3d802ea93d0053a9f1af3de827919d99cd951ebc6105b57",
    "3/hidden_head_original": "d9bfdf29e413379b58e94d426e2c66a052b42761dc0ff030213980ca90e07c5e",
    "4/hidden_head_original": "de8811fa0be2955c73b39fb7c6189862a53d2dde3674df647ad2eb72448719ee",
    "5/hidden_head_original": "7b4acc5004937b84cb6fb415a666091a687057f18b8023d706bf6428faf0e23f",
    "5/one_tap_merged": "644520995063b742cd21d53c5c57723aba97d23dd44684e2b8a894a2f5274d22",
}
CALIBRATED = "d1f8ef41dd508a57aa55c2d74377b0a444e18be39438df0af8125b2cbf68c99f"


@pytest.mark.parametrize(("model", "digest"), CONTENT_DIGESTS.items())
def test_registered_models_keep_the_digest_of_their_content(model: str, digest: str) -> None:
    assert parse((FORMATS / model / "model.json").read_text()).content_digest == digest


def test_a_calibrated_model_keeps_the_digest_of_its_content() -> None:
    found = parse(OLD.read_text()).model_copy(update={"calibration": Calibration(scale=[0.5])})
    assert found.content_digest == CALIBRATED


@pytest.mark.parametrize("model", CONTENT_DIGESTS)
def test_new_fields_count_for_the_content_only_where_they_differ_from_their_default(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class LaterHead(HeadSpec):
        scale: float = 1.0

    class LaterPreprocessing(Preprocessing):
        colours: str = "rgb"

    class LaterCalibration(Calibration):
        power: float = 1.0

    class LaterSpec(ModelSpec):
        head: LaterHead
        preprocessing: LaterPreprocessing
        calibration: LaterCalibration | None = None
        flipped: bool = False

    text = (FORMATS / model / "model.json").read_text()
    before = parse(text).model_copy(update={"calibration": Calibration(scale=[0.5])})
    monkeypatch.setattr(module, "ModelSpec", LaterSpec)
    after = parse(text).model_copy(update={"calibration": LaterCalibration(scale=[0.5])})
    assert isinstance(after, LaterSpec)
    assert after.content_digest == before.content_digest
    others: list[dict[str, Any]] = [
        {"flipped": True},
        {"head": after.head.model_copy(update={"scale": 2.0})},
        {"preprocessing": after.preprocessing.model_copy(update={"colours": "lab"})},
        {"calibration": LaterCalibration(scale=[0.5], power=2.0)},
    ]
    digests = {after.model_copy(update=other).content_digest for other in others}
    assert len(digests - {before.content_digest}) == len(others)


def test_every_head_that_the_configuration_allows_can_be_stored() -> None:
    assert set(HeadSpec.model_fields) == set(Head.model_fields)
    for name in ("activation", "norm"):
        allowed = get_args(Head.model_fields[name].annotation)
        assert allowed == get_args(HeadSpec.model_fields[name].annotation)
    assert tuple(ACTIVATIONS) == get_args(HeadSpec.model_fields["activation"].annotation)
    assert head_spec(Params.model_fields["head"].annotation.model_validate({})) == HeadSpec()  # type: ignore[union-attr]


# For all specs

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
NUMBERS = st.lists(st.integers(1, 50), max_size=4)
CHANNELS = st.tuples(*[st.floats(0.01, 1.0)] * 3)
HEADS = st.builds(
    HeadSpec,
    taps=NUMBERS,
    hidden=NUMBERS,
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    dropout=st.floats(0.0, 0.9),
)
PREPROCESSING = st.builds(
    Preprocessing,
    short_side=st.integers(8, 999),
    max_megapixels=st.floats(0.1, 178.0),
    pixel_range=st.sampled_from(["type", "image", "clip"]),
    image_size=st.integers(8, 999),
    crop_pct=st.floats(0.1, 1.0),
    interpolation=st.sampled_from(get_args(Interpolation)),
    mean=CHANNELS,
    std=CHANNELS,
)
SCALES = st.floats(SMALLEST_SCALE, LARGEST_SCALE)
SPECS = st.builds(
    ModelSpec,
    format=st.just(FORMAT),
    backbone=TEXTS,
    head=HEADS,
    classes=st.lists(TEXTS.filter(bool), min_size=1, max_size=5, unique=True),
    preprocessing=PREPROCESSING,
    blocks=st.integers(1, 50),
    trained=NUMBERS,
    folded=st.lists(TEXTS, max_size=3),
    merged=st.lists(st.tuples(TEXTS, TEXTS), max_size=3),
    calibration=st.none() | st.builds(Calibration, scale=st.lists(SCALES, min_size=1, max_size=1)),
    parents=st.lists(st.builds(Parent, stage=TEXTS, digest=TEXTS), max_size=3),
    files=st.just({}),
    digest=st.just(""),
)


@pytest.mark.property
@given(SPECS, st.dictionaries(st.sampled_from(get_args(FileName)), TEXTS))
def test_a_sealed_spec_is_read_back_as_it_was(spec: ModelSpec, files: dict[FileName, str]) -> None:
    sealed_spec = spec.sealed(files)
    assert parse(sealed_spec.model_dump_json(indent=2)) == sealed_spec


@pytest.mark.property
@given(SPECS, st.data())
def test_a_change_of_any_value_is_noticed(spec: ModelSpec, data: st.DataObject) -> None:
    content = json.loads(spec.sealed({}).model_dump_json())
    key = data.draw(st.sampled_from(sorted(content.keys() - {"format"})))
    content[key] = [content[key], "changed"]
    with pytest.raises(ChangedError):
        parse(json.dumps(content))
