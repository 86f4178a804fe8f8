from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.registry.served import CLASSES, image, uniform
from tests.serving.image_folder import image_folder, rows
from thaw.errors import ProblemsError, ThawError
from thaw.model.predictor import Predictor
from thaw.serving import batch_prediction
from thaw.serving.batch_prediction import predict_folder
from thaw.serving.image_files import find_images

COUNT = 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return image_folder(tmp_path / "images", COUNT)


def test_every_image_has_a_row_with_the_probabilities_of_the_model(
    model: Path, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    predict_folder(str(model), folder, out, batch_size=7)
    found = rows(out)
    assert [row["path"] for row in found] == find_images(folder).paths
    contents = [(folder / row["path"]).read_bytes() for row in found]
    expected = Predictor(model).probabilities(contents)
    given = torch.tensor([[float(row[f"p_{label}"]) for label in CLASSES] for row in found])
    torch.testing.assert_close(given, expected, rtol=0, atol=1e-5)
    assert [row["label"] for row in found] == [CLASSES[i] for i in expected.argmax(1)]
    about = json.loads((tmp_path / "out.csv.json").read_text())
    assert about["complete"] is True
    assert about["unreadable"] == {}


def test_rows_of_an_earlier_run_are_not_computed_again(
    model: Path, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    predict_folder(str(model), folder, out)
    whole = out.read_text()
    lines = whole.splitlines(keepends=True)
    marked = lines[1].replace(",0.", ",7.")  # a second computation would replace this
    out.write_text("".join([lines[0], marked, *lines[2:9]]) + lines[9][:10])
    predict_folder(str(model), folder, out, batch_size=4)
    again = out.read_text().splitlines(keepends=True)
    assert again[:9] == [lines[0], marked, *lines[2:9]]
    # The images share a batch with others than before, so the last decimal may differ.
    assert [values(line) for line in again[9:]] == [
        pytest.approx(values(line), abs=2e-6) for line in lines[9:]
    ]


def values(line: str) -> list[float]:
    """Return the numbers at the end of a row."""
    return [float(cell) for cell in line.rsplit(",", 4)[1:]]


def test_files_that_cannot_be_read_are_listed_and_all_others_predicted(
    model: Path, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret.png").write_bytes(image())
    (folder / "empty.png").touch()
    (folder / "page.jpg").write_text("<html>")
    (folder / "cut.png").write_bytes(image()[:200])
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "gone.png").symlink_to(folder / "nothing.png")
    (folder / "huge.png").write_bytes(image(size=1001))
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.png").write_bytes(image())
    out = tmp_path / "out.csv"
    with pytest.raises(ProblemsError) as caught:
        predict_folder(str(model), folder, out).raise_problems()
    problems = dict(line.split(": ", 1) for line in caught.value.problems)
    assert list(problems) == [
        f"'{name}.png'" if name != "page" else "'page.jpg'"
        for name in ("cut", "empty", "gone", "huge", "link", "page")
    ]
    assert "cannot be decoded" in problems["'cut.png'"]
    assert problems["'link.png'"] == "leads out of the folder"
    assert problems["'gone.png'"] == "not a file"
    assert "more than the limit of " in problems["'huge.png'"]
    assert "prepare." not in problems["'huge.png'"]
    assert len(rows(out)) == COUNT
    assert set(json.loads((tmp_path / "out.csv.json").read_text())["unreadable"]) == {
        name.strip("'") for name in problems
    }


def test_an_image_with_a_probability_that_is_not_finite_has_no_row(
    model: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Predictor.forward
    second = find_images(folder).paths[1]

    def broken(self: Predictor, images: torch.Tensor, *, watch: bool = False) -> torch.Tensor:
        found = forward(self, images, watch=watch).clone()
        bad = self.read((folder / second).read_bytes())
        found[(images == bad).flatten(1).all(dim=1)] = float("nan")
        return found

    monkeypatch.setattr(Predictor, "forward", broken)
    with pytest.raises(ProblemsError) as caught:
        predict_folder(str(model), folder, tmp_path / "out.csv").raise_problems()
    assert caught.value.problems == [f"{second!r}: the model gave a probability that is not finite"]
    assert second not in {row["path"] for row in rows(tmp_path / "out.csv")}
    assert len(rows(tmp_path / "out.csv")) == COUNT - 1


@pytest.mark.slow
def test_the_drift_score_of_an_earlier_run_stays_until_there_is_a_new_one(
    watched: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "images", tmp_path / "out.csv"
    folder.mkdir()
    for number in range(64):
        (folder / f"{number:03d}.png").write_bytes(image(number))

    def drift() -> tuple[float | None, int | None]:
        about = json.loads((tmp_path / "out.csv.json").read_text())
        return about["drift"], about["drift_images"]

    predict_folder(str(watched), folder, out)
    first, images = drift()
    assert first is not None
    assert first < 0.1
    assert images == 64
    predict_folder(str(watched), folder, out)  # no image remains
    assert drift() == (first, 64)
    (folder / "few.png").write_bytes(uniform(0))
    predict_folder(str(watched), folder, out)  # too few images for a score
    assert drift() == (first, 64)
    for number in range(40):
        (folder / f"white{number}.png").write_bytes(uniform(255))
    predict_folder(str(watched), folder, out)
    shifted, images = drift()
    assert shifted is not None
    assert shifted > first + 0.3
    assert images == 40


@pytest.mark.parametrize(
    ("asked", "below", "reason"),
    [
        ("nothing", "images", "nothing is not a model"),
        ("images", "images", r"is not a model directory: it has no model\.json"),
        ("models:/x", "images", "must be models:/NAME@ALIAS or models:/NAME/VERSION"),
        (None, "nothing", "nothing does not exist: give a folder"),
        (None, "images/000.png", r"000\.png is a file: give a folder, whose images are all read"),
        (None, "empty", "empty has no images"),
    ],
)
def test_a_missing_model_or_image_is_an_error(
    model: Path,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: str | None,
    below: str,
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ThawError, match=reason):
        predict_folder(asked or str(model), Path(below), tmp_path / "out.csv")


@pytest.mark.slow
def test_a_killed_command_continues(model: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "images", tmp_path / "out.csv"
    folder.mkdir()
    for number in range(300):
        (folder / f"{number:04d}.png").write_bytes(image(number, size=100))
    command = [sys.executable, "-m", "thaw.cli", "predict", str(model), str(folder)]
    command += ["--out", str(out), "--batch-size", "2"]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    while not out.exists() or out.stat().st_size < 300:
        time.sleep(0.005)
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(rows(out))
    assert 0 < done < 300
    before = out.read_text().splitlines()[: done - 1]
    predict_folder(str(model), folder, out)
    assert [row["path"] for row in rows(out)] == find_images(folder).paths
    assert out.read_text().splitlines()[: done - 1] == before


def test_a_second_process_does_not_write_the_same_output(model: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "a.png").write_bytes(image())
    out = tmp_path / "out.csv"
    message = f"out.csv is already running as process {os.getpid()}"
    with batch_prediction._only_writer(out), pytest.raises(ThawError, match=message):
        predict_folder(str(model), images, images / ".." / "out.csv")
    assert not out.exists()
    predict_folder(str(model), images, out)
    assert len(out.read_text().splitlines()) == 2


@pytest.mark.slow
def test_a_registered_model_predicts_a_folder(registry: list[str], tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.png").write_bytes(image())
    out = tmp_path / "out.csv"
    predict_folder("models:/dev@champion", tmp_path / "images", out)
    assert len(rows(out)) == 1
    with pytest.raises(ThawError, match=f"another digest.*{registry[0]}, not {registry[1]}"):
        predict_folder("models:/dev/2", tmp_path / "images", out)


# Outputs that are refused


@pytest.fixture
def project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with data in data/raw, beside the images; it is the working directory."""
    root = folder.parent
    shutil.copy(Path(__file__).parents[2] / "params.yaml", root)
    (root / "data/raw/red").mkdir(parents=True)
    (root / "data/raw/red/1.png").write_bytes(image())
    monkeypatch.chdir(root)
    return root


def contents(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "out",
    [
        "images/000.png",
        "images/new.png",
        "images/../images/NEW.JPG",
        "linked/new.png",
        "data/raw/red/1.png",
        "data/raw/red/out.csv",
        "data/prepared/out.csv",
        "models/unfreeze/out.csv",
        "reports/evaluate/predictions.csv",
        ".thaw/out.csv",
        ".git/out.csv",
        "params.yaml",
        "dvc.lock",
        "labels",
        "model/out.csv",
    ],
)
def test_an_output_that_would_replace_or_become_an_input_is_refused(
    model: Path, project: Path, out: str
) -> None:
    shutil.copytree(model, project / "model")
    (project / "linked").symlink_to("images")
    (project / "labels.json").write_text('{"mine": 1}')
    before = contents(project)
    with pytest.raises(ThawError, match="give another --out"):
        predict_folder("model", Path("images"), Path(out))
    assert contents(project) == before


@pytest.mark.parametrize("out", ["images/out.csv", "reports/out.csv", "models/out.csv"])
def test_an_output_beside_the_images_is_written_and_not_read_again(
    model: Path, project: Path, out: str
) -> None:
    for _ in range(2):
        predict_folder(str(model), Path("images"), Path(out))
        assert len(rows(project / out)) == COUNT


def test_a_table_with_columns_of_the_user_is_not_replaced(model: Path, project: Path) -> None:
    out = project / "out.csv"
    predict_folder(str(model), Path("images"), out)
    notes = "".join(f"{line},note\n" for line in out.read_text().splitlines())
    out.write_text(notes)
    with pytest.raises(ThawError, match="other columns"):
        predict_folder(str(model), Path("images"), out)
    assert out.read_text() == notes
