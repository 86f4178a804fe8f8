"""Run the blocks of the guides and the commands in their sentences, on one trained project.

Each test has a copy of it. Commands of thaw and DVC run in forks: see tests/forked_commands.py.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import requests
from PIL import Image
from ruamel.yaml import YAML

from tests.docs import sentences
from tests.docs.commands import blocks_of, blocks_to_run, python_of
from tests.docs.page_shell import PageShell
from tests.forked_commands import forked_commands
from tests.project import ROOT
from tests.serving.hub_stub import hub
from thaw.config.editing import write_values

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.commands, pytest.mark.timeout(1800)]

CHEAP = {
    "backbone.name": "lenet5", "backbone.weights": "none", "backbone.image_size": 32,
    "backbone.framing": "crop", "head.taps": [], "warmup_head.fit": "gradient",
    "warmup_head.epochs": 2, "unfreeze.depth": 2, "unfreeze.epochs": 1, "fold_bn.epochs": 1,
    "launch.threads": 1, "resources.workers": 1,
}  # fmt: skip
ANY_RESULT = {
    "promote.floors": {}, "promote.ceilings": {}, "promote.not_worse": {},
    "promote.class_margin": 1.0, "promote.minimum": [],
}  # fmt: skip
CLASSES = ("Bengal", "Birman")


@pytest.fixture(scope="module")
def programs() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder, forked_commands(Path(folder)) as path:
        yield path


@pytest.fixture(scope="module")
def trained(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> PageShell:
    """Return a project with two versions, made by the commands of two guides."""
    folder = tmp_path_factory.mktemp("trained")
    images = photographs(folder / "images")
    shell = PageShell(folder, programs, {"/data/flowers": str(images), "IMAGES": str(images)})
    (block,) = blocks_of(ROOT / "docs/how-to/own-images.md")
    first, rest = block.split("dvc repro")
    shell.run(first)
    write_values({**CHEAP, **ANY_RESULT}, shell.folder / "params.yaml")
    shell.run("git add --all && git commit --quiet --message 'Small'")
    shell.run("dvc repro" + rest)
    shell.run("git add --all && git commit --quiet --message 'The first result'")
    shell.run("dvc exp run -S unfreeze.lr=0.003")
    shell.run(questions()[0])
    return shell


@pytest.fixture
def project(trained: PageShell, programs: Path, tmp_path: Path) -> Iterator[PageShell]:
    """A copy of the trained project, as docs/questions.md makes one."""
    shell = PageShell(tmp_path, programs, trained.replaced)
    shell.run(f"cp -r {trained.folder} .\ncd flowers\nthaw repair")
    yield shell
    shell.stop()


def test_the_commands_of_sentences_run(project: PageShell) -> None:
    for documented, typed in sentences.COMMANDS.items():
        project.run(typed or documented)
    params = YAML(typ="safe").load(project.folder / "params.yaml")
    assert "brightness" not in params["augment"]  # these splits do not differ
    if shutil.which("optuna-dashboard"):  # of the extra `dev`
        project.run("optuna-dashboard sqlite:///mlruns/search.db &")
        answer = requests.get(f"{project.address}/api/studies", timeout=60)
        assert "other" in [study["study_name"] for study in answer.json()["study_summaries"]]


def test_a_file_of_accelerates_own_command_configures_a_stage(project: PageShell) -> None:
    project.run("accelerate config default --config_file ../machine.yaml")
    assert "num_processes" in (project.folder.parent / "machine.yaml").read_text()
    file = str(project.folder.parent / "machine.yaml")
    write_values(
        {"launch.config": file, "launch.processes": "auto"}, project.folder / "params.yaml"
    )
    assert "error" not in project.run("thaw check")
    project.run("thaw stage fold_bn")


def test_dvc_adds_images_in_the_project_and_prepare_reads_them_from_its_cache(
    project: PageShell,
) -> None:
    project.run("rm -rf data/raw; cp -r IMAGES data/raw")
    project.run("dvc config cache.type symlink; dvc add data/raw; git add --all")
    assert any(path.is_symlink() for path in (project.folder / "data/raw/rose").iterdir())
    before = splits(project.folder)
    write_values({"data.path": "data/raw", "data.root": "data/raw"}, project.folder / "params.yaml")
    project.run("thaw check; dvc repro prepare; dvc status data/raw.dvc")
    assert splits(project.folder) == before


def test_the_guide_on_own_images_holds_for_bad_and_new_images(project: PageShell) -> None:
    page = ROOT / "docs/how-to/own-images.md"
    images = Path(project.replaced["IMAGES"])
    (images / "rose/bad.png").write_bytes(b"no image")
    try:
        assert "rose/bad.png" in project.run("dvc repro prepare", code=255)
        (values,) = yaml_of(page)
        write_values(values, project.folder / "params.yaml")
        project.run("dvc repro prepare")
        report = json.loads((project.folder / "reports/prepare/report.json").read_text())
        assert "bad.png" in json.dumps(report)
    finally:
        (images / "rose/bad.png").unlink()
    before = splits(project.folder)
    picture(images / "lily/new.png", 160)
    try:
        project.run("dvc repro prepare")
    finally:
        (images / "lily/new.png").unlink()
    after = splits(project.folder)
    assert after.keys() - before.keys() == {"lily/new.png"}
    assert sum(before[path] != after[path] for path in before.keys() & after.keys()) <= 3


def test_the_settings_of_the_guides_train_a_model_that_the_gate_examines(
    project: PageShell,
) -> None:
    names = ("few-images", "shifted-images", "unequal-classes")
    texts = [(ROOT / f"docs/how-to/{name}.md").read_text() for name in names]
    values = {key: value for text in texts for key, value in settings_of(text).items()}
    assert {"backbone.framing", "unfreeze.batch_norm", "promote.floors"} <= values.keys()
    names_alone = [key for text in texts for key in re.findall(r"`(augment\.[a-z]+)`", text)]
    values |= {key: 1 if key == "augment.randaugment" else 0.1 for key in names_alone}
    write_values(values, project.folder / "params.yaml")
    project.run("git commit --all --message 'The guides'; dvc repro")
    report = project.run("thaw report")
    assert all(word in report for word in ("macro F1", "worst recall"))
    files = [path for text in texts for path in re.findall(r"`(reports/[^`]+)`", text)]
    assert len(files) == 3
    assert all((project.folder / path).exists() for path in files)
    assert (project.folder / "reports/warmup_head/leaderboard.csv").exists()
    refusal = project.run("thaw promote", code=1)
    assert "worst_class_recall" in refusal


def test_advice_for_shifted_images_varies_the_light(programs: Path, tmp_path: Path) -> None:
    for split, count, light in (("train", 30, 90), ("val", 15, 10), ("test", 5, 10)):
        for label, more in (("rose", 0), ("lily", 70)):
            for number in range(count):
                picture(tmp_path / "images" / split / label / f"{number}.png", light + more)
    shell = PageShell(tmp_path, programs, {})
    shell.run("thaw init shifted --images images\ncd shifted")
    write_values(CHEAP, shell.folder / "params.yaml")
    shell.run("dvc repro prepare\nthaw advise")
    shell.run("thaw advise --apply")
    params = YAML(typ="safe").load(shell.folder / "params.yaml")
    assert {"brightness", "contrast", "tint", "noise"} <= params["augment"].keys()


def test_the_guide_on_public_sets_trains_on_the_files_of_a_set_and_reads_tables(
    programs: Path, tmp_path: Path
) -> None:
    page = ROOT / "docs/how-to/public-sets.md"
    (block,) = blocks_of(page)
    shell = PageShell(tmp_path, programs, {})
    first, repro = block.split("dvc repro")
    shell.run(first)
    base = shell.folder / "data/raw/oxford-iiit-pet"
    (base / "annotations").mkdir(parents=True)
    for split, numbers in (("trainval", range(20)), ("test", range(20, 26))):
        of = {f"{CLASSES[number % 2]}_{number}": number % 2 for number in numbers}
        for name, index in of.items():
            picture(base / f"images/{name}.jpg", 70 * index)
        text = "".join(f"{name} {index + 1} 1 1\n" for name, index in of.items())
        (base / f"annotations/{split}.txt").write_text(text)
    write_values(CHEAP, shell.folder / "params.yaml")
    assert "26 images" in shell.run(f"dvc repro{repro}\nthaw report")
    shell.folder = tmp_path
    shell.run("mkdir tables\ncd tables")
    tables(shell.folder)
    (code,) = python_of(page)
    imports, table, coco = re.split(r"\n\n", code)
    for number, program in enumerate((table, coco)):
        (shell.folder / "program.py").write_text(f"{imports}\n{program}")
        shell.run("python program.py")
        assert "8 images" in shell.run(f"thaw init ../csv{number} --images images.csv")


def test_the_blocks_of_the_registry_run(project: PageShell) -> None:
    project.replaced |= {
        "https://mlflow.example.org": f"sqlite:///{project.folder}/other.db",
        "models:/classifier@": "models:/flowers@",
    }
    aliases, keys = blocks_to_run("docs/registry.md")
    project.run(aliases)
    verify, sign = keys.split("export ")
    (key,) = re.findall(r'"(ed25519:.*)"', project.run(verify))
    write_values({"promote.public_keys": [key]}, project.folder / "params.yaml")
    project.run(f"export {sign}")
    assert "signed" in project.run("thaw history --verify")


def test_the_blocks_of_the_questions_run(project: PageShell) -> None:
    assert "version 2 is the champion" in project.run(questions()[1])


def questions() -> tuple[str, str]:
    """Return the lines of the block of the questions: before the promotion, and the promotion."""
    (block,) = blocks_to_run("docs/questions.md")
    before, promotion, _ = block.partition("thaw promote")
    return before, promotion


def test_the_blocks_and_programs_on_serving_run(project: PageShell) -> None:
    page = ROOT / "docs/serving.md"
    project.replaced |= {"models:/classifier@": "models:/flowers@"}
    shutil.copytree(project.replaced["IMAGES"], project.folder / "photos")
    shutil.copy(project.folder / "photos/rose/0.png", project.folder / "photo.jpg")
    with hub() as stub:
        variables = f"HF_TOKEN=t HF_ENDPOINT={stub.address}"  # which are read at the import
        project.replaced["thaw push-to-hub"] = f"{variables} python -m thaw.cli push-to-hub"
        for block in blocks_to_run("docs/serving.md"):
            project.run(block)
        assert "README.md" in stub.files
    programs = [each.replace("models:/classifier@", "models:/flowers@") for each in python_of(page)]
    (project.folder / "example.py").write_text("\n".join(programs))
    project.run("export MLFLOW_TRACKING_URI=sqlite:///$PWD/mlruns/mlflow.db; python example.py")


def test_queued_experiments_run_and_become_a_branch(project: PageShell) -> None:
    project.run("git init --quiet --bare ../origin.git; git remote add origin ../origin.git")
    project.replaced["EXPERIMENT"] = "$(dvc exp list --name-only | head -1)"
    for block in blocks_to_run("docs/deployment.md"):
        project.run(block)
    assert "faster" in project.run("git ls-remote origin")


def test_a_remote_of_dvc_serves_a_second_clone(project: PageShell) -> None:
    project.replaced["s3://team-data/flowers"] = str(project.folder.parent / "remote")
    project.replaced["git clone ... flowers"] = "cd .. && git clone flowers clone"
    project.replaced["cd flowers"] = "cd clone"
    for block in blocks_to_run("docs/servers.md"):
        project.run(block)
    project.run("git pull; dvc gc --cloud --all-commits --force")


def yaml_of(page: Path) -> list[dict[str, Any]]:
    """Return the values, by dotted key, of each block of YAML of a page."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    contents = [YAML(typ="safe").load(block) for block in blocks]
    return [
        {f"{section}.{key}": value for section, keys in each.items() for key, value in keys.items()}
        for each in contents
    ]


def settings_of(text: str) -> dict[str, Any]:
    """Return the values, by dotted key, that the sentences of a page name."""
    found = re.findall(r"`([a-z_]+\.[a-z_]+: [^`]+)`", text)
    return {key: value for each in found for key, value in YAML(typ="safe").load(each).items()}


def splits(project: Path) -> dict[str, str]:
    """Return the split of each prepared image."""
    with (project / "data/prepared/manifest.csv").open() as stream:
        return {row["path"]: row["split"] for row in csv.DictReader(stream)}


def tables(folder: Path) -> None:
    """Write eight images with the two tables that the guide on public sets reads."""
    names = [f"{number}.png" for number in range(8)]
    for number, name in enumerate(names):
        for images in ("train_images", "images"):
            picture(folder / images / name, 70 * (number % 2))
    rows = [f"{name},{CLASSES[number % 2]}" for number, name in enumerate(names)]
    (folder / "train.csv").write_text("\n".join(["image_id,label", *rows]))
    content = {
        "categories": [{"id": number, "name": name} for number, name in enumerate(CLASSES)],
        "images": [{"id": number, "file_name": name} for number, name in enumerate(names)],
        "annotations": [{"image_id": n, "category_id": n % 2} for n in range(len(names))],
    }
    (folder / "annotations.json").write_text(json.dumps(content))


def photographs(folder: Path) -> Path:
    """Write 40 images of one class and 12 of a brighter one."""
    for label, brightness, count in (("rose", 90, 40), ("lily", 160, 12)):
        for number in range(count):
            picture(folder / label / f"{number}.png", brightness)
    return folder


def picture(path: Path, brightness: int) -> None:
    """Write an image of noise, which is the same for the same path."""
    generator = np.random.default_rng(list(str(path).encode()))
    pixels = generator.integers(0, 90, (40, 40, 3)) + brightness
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)
