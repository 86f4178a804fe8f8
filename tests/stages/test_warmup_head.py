from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from PIL import Image

from tests.advice import project as small
from tests.training.phase import differing, state
from thaw.advice.tournament import head_choice
from thaw.config.editing import write_values
from thaw.config.loading import load
from thaw.config.parameter_values import with_values
from thaw.config.params import Params
from thaw.context import open_context
from thaw.model import directory
from thaw.stages import prepare, warmup_head
from thaw.training.observer import Observer

if TYPE_CHECKING:
    from thaw.context import Context
    from thaw.training.history import EpochRow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.make(tmp_path_factory.mktemp("warmup"))


@pytest.fixture(autouse=True)
def project(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny project as the working directory."""
    torch.set_num_threads(1)
    monkeypatch.chdir(made)


def opened(**values: Any) -> Context:
    """Open the project with other parameters of warmup_head."""
    write_values({f"warmup_head.{key}": value for key, value in values.items()})
    return open_context(load(Params), small.PREPARED, single_process=True)


@pytest.mark.parametrize(("fit", "epochs"), [("gradient", 2), ("logistic", 1), ("lda", 1)])
def test_the_warm_up_trains_the_head_and_leaves_the_backbone_unchanged(
    fit: str, epochs: int
) -> None:
    context = opened(fit=fit, epochs=2, lr=0.01)
    classifier, spec = warmup_head.build(context, "")
    before = state(classifier)
    rows: list[EpochRow] = []
    progress = warmup_head.run(
        context, classifier, spec.preprocessing, Observer(on_epoch=rows.append)
    )
    changed = differing(before, state(classifier))
    assert changed
    assert all(name.startswith("head.") for name in changed)
    assert rows == progress.history
    assert [row.epoch for row in rows] == list(range(epochs + 1))
    assert rows[progress.best_epoch].val_loss < rows[0].val_loss


def fitted(capsys: pytest.CaptureFixture[str], *, wrong: bool) -> tuple[float, str]:
    """Fit a head, perhaps where all validation labels are wrong; return its loss and messages."""
    context = opened(fit="logistic", strength=10.0)
    if wrong:
        manifest = context.data.manifest
        ids = manifest.ids("val")
        manifest.targets[ids] = (manifest.targets[ids] + 1) % small.CLASSES
    classifier, spec = warmup_head.build(context, "")
    progress = warmup_head.run(context, classifier, spec.preprocessing, Observer())
    return progress.history[-1].val_loss, capsys.readouterr().err


def test_a_fitted_head_that_is_worse_than_guessing_is_named_with_its_loss_and_what_to_try(
    capsys: pytest.CaptureFixture[str],
) -> None:
    loss, told = fitted(capsys, wrong=True)
    assert loss > math.log(3)
    assert (
        f"warning: the fitted head (logistic, strength 10) has a validation log-loss of {loss:.3f},"
        " and a head that guesses has 1.099: set warmup_head.strength to auto, or warmup_head.fit "
        "to gradient, and look for wrong labels in the validation split"
    ) in told.replace("\n", " ")


def test_nothing_is_said_of_a_fitted_head_that_is_better_than_guessing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    loss, told = fitted(capsys, wrong=False)
    assert loss < math.log(3)
    assert "guesses" not in told


def test_the_model_of_the_warm_up_has_a_new_head_for_the_classes_of_the_data() -> None:
    classifier, spec = warmup_head.build(opened(), "")
    assert spec.classes == ["blue", "green", "red"]
    images = torch.zeros(2, 3, spec.preprocessing.image_size, spec.preprocessing.image_size)
    with torch.no_grad():
        assert classifier.eval()(images).shape == (2, small.CLASSES)


@pytest.mark.slow
def test_the_stage_chooses_what_is_auto_and_writes_the_choice(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "project"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    write_values(dict.fromkeys(head_choice.KEYS, "auto"))
    warmup_head.main()
    written = json.loads(Path("reports/warmup_head/choices.json").read_text())
    chosen = with_values(load(Params), written["values"])
    classifier, spec = directory.load(Path("models/warmup_head"))
    assert spec.preprocessing.framing == chosen.backbone.framing
    assert spec.preprocessing.image_size == chosen.backbone.image_size
    assert list(classifier.taps) == (chosen.head.taps or [small.BLOCKS])
    report = json.loads(Path("reports/warmup_head/report.json").read_text())
    assert report["val_accuracy"] > 0.6
    first = Path("models/warmup_head/model.json").read_bytes()
    shutil.rmtree(".thaw")
    warmup_head.main()
    assert Path("models/warmup_head/model.json").read_bytes() == first


def test_the_stage_writes_an_empty_choice_where_nothing_is_auto() -> None:
    warmup_head.main()
    written = json.loads(Path("reports/warmup_head/choices.json").read_text())
    assert (written["values"], written["note"]) == ({}, "nothing is auto")
    assert len(Path("reports/warmup_head/leaderboard.csv").read_text().splitlines()) == 1
    with Image.open("reports/warmup_head/inputs.png") as picture:
        assert min(picture.size) > 300


@pytest.mark.slow
def test_a_pack_of_smaller_images_than_the_input_is_named_with_the_size_that_it_needs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_values({"prepare.short_side": 16, "backbone.image_size": 32})
    prepare.main()
    told = (
        "36 of 36 images are stored with a short side of 16 pixels (prepare.short_side) and are "
        "enlarged to the input of the network ({}image_size 32, crop_pct 1, framing crop): set "
        "prepare.short_side to 32"
    )
    assert told.format("backbone.") in capsys.readouterr().err
    warmup_head.main()
    assert told.replace("36 of 36", "24 of 24").format("") in capsys.readouterr().err
    write_values({"prepare.short_side": 32})
    prepare.main()
    warmup_head.main()
    assert "are enlarged" not in capsys.readouterr().err
