from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import pytest
from ruamel.yaml import YAML

from tests import settings
from tests.registry.served import image, model_directory
from thaw.errors import ThawError
from thaw.model import directory
from thaw.registry import pyfunc
from thaw.registry.artifact_files import LOADER
from thaw.registry.fetch import Version, fetch, fetched_into, resolve
from thaw.registry.names import DIGEST
from thaw.registry.register import ModelRecord, register
from thaw.tracking.store import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from thaw.config.result_sections import Tracking


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    """A store with two versions of the model `dev`: @champion is 1, @challenger 2."""
    folder = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{folder / 'mlruns/mlflow.db'}"
    made = settings.PARAMS.tracking.model_copy(update={"uri": uri})
    _, experiment = connect(made)
    for seed in (0, 1):
        spec = model_directory(folder / str(seed), seed)
        with mlflow.start_run(experiment_id=experiment):
            register(
                "dev", folder / str(seed), ModelRecord(spec.digest, {"accuracy": 0.5}), image()
            )
    return made


@pytest.mark.slow
@pytest.mark.parametrize(
    ("uri", "number"),
    [("models:/dev@champion", 1), ("models:/dev@challenger", 2), ("models:/dev/2", 2)],
)
def test_an_alias_or_a_number_is_a_version(tracking: Tracking, uri: str, number: int) -> None:
    found = resolve(uri, tracking)
    assert found == Version("dev", number)
    assert found.uri == f"models:/dev/{number}"


def test_the_model_directory_comes_back_whole(tracking: Tracking, tmp_path: Path) -> None:
    folder = fetch(resolve("models:/dev/2", tracking), tmp_path)
    _, spec = directory.load(folder)
    assert spec.digest == model_directory(tmp_path / "same", seed=1).digest


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}/data/merged/model.json is damaged", "models:/dev/2: model.json is damaged"),
        ("{}/data/merged: two do not fit", "models:/dev/2: two do not fit"),
        ("{}/data/a has other files", "models:/dev/2 has other files"),
        (f"{{}}/data/a/b was changed{directory.RESTORE}", "models:/dev/2: b was changed"),
        ("{} is empty", "models:/dev/2 is empty"),
    ],
)
def test_an_error_about_fetched_files_names_the_version_and_not_a_folder_that_is_deleted(
    text: str, expected: str, tmp_path: Path
) -> None:
    with pytest.raises(ThawError) as refused, fetched_into(tmp_path, Version("dev", 2)):
        raise ThawError(text.format(tmp_path))
    assert str(refused.value).startswith(f"{expected}: it is not loaded; `thaw status` lists")


def test_an_error_about_something_else_stays_as_it_is(tmp_path: Path) -> None:
    error = ThawError("another reason")
    with pytest.raises(ThawError) as refused, fetched_into(tmp_path, Version("dev", 2)):
        raise error
    assert refused.value is error


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("models:/dev@missing", "no such version or alias; dev has @challenger, @champion"),
        (
            "models:/dev/9",
            "no such version or alias; dev has @challenger, @champion and the versions 2, 1",
        ),
        (
            "models:/nothing@champion",
            "no registered model 'nothing': the store has dev; `dvc repro` registers",
        ),
        ("models:/dev", "must be models:/NAME@ALIAS or models:/NAME/VERSION"),
        ("models:/dev/latest", "must be models:/NAME@ALIAS or models:/NAME/VERSION"),
        ("models:/a/b@champion", "must be models:/NAME@ALIAS or models:/NAME/VERSION"),
    ],
)
def test_a_missing_model_alias_or_version_is_refused_with_one_line(
    tracking: Tracking, uri: str, reason: str
) -> None:
    with pytest.raises(ThawError, match=reason) as caught:
        resolve(uri, tracking)
    assert str(caught.value).startswith(uri)
    assert "\n" not in str(caught.value)


def test_resolving_a_uri_writes_nothing(
    tracking: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Path(tracking.uri.removeprefix("sqlite:///"))
    (store.parent / "mlflow.lock").unlink(missing_ok=True)
    before = {path: path.read_bytes() for path in store.parent.glob("mlflow*")}
    fresh = tracking.model_copy(update={"experiment": "missing made it"})
    assert resolve("models:/dev@champion", fresh) == Version("dev", 1)
    assert {path: path.read_bytes() for path in store.parent.glob("mlflow*")} == before
    nowhere = tracking.model_copy(update={"uri": f"sqlite:///{tmp_path}/mlruns/mlflow.db"})
    with pytest.raises(
        ThawError, match=r"there is no MLflow store sqlite:.*: `dvc repro` registers"
    ):
        resolve("models:/dev@champion", nowhere)
    assert not (tmp_path / "mlruns").exists()
    with pytest.raises(ThawError, match="the MLflow store nonsense://x cannot be used"):
        resolve("models:/dev@champion", tracking.model_copy(update={"uri": "nonsense://x"}))


def test_a_model_that_thaw_did_not_register_is_refused(tracking: Tracking, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no model.json here")
    client, experiment = connect(tracking)
    with mlflow.start_run(experiment_id=experiment) as run:
        mlflow.log_artifact(str(tmp_path / "notes.txt"), "other")
    client.create_registered_model("other")
    client.create_model_version("other", f"{run.info.artifact_uri}/other", run.info.run_id)
    with pytest.raises(ThawError, match=r"models:/other/1 is not a model of thaw"):
        fetch(Version("other", 1), tmp_path / "to")


# Changes that need write access to the artifact store (FAULTS rows 29 and 30)


@pytest.fixture
def artifact(tracking: Tracking, tmp_path: Path) -> Iterator[Path]:
    """The stored artifact of version 2, put back afterwards."""
    client, _ = connect(tracking)
    uri = client.get_model_version_download_uri("dev", "2")
    stored = Path(mlflow.artifacts.download_artifacts(uri))  # a local store's own folder
    shutil.copytree(stored, tmp_path / "kept")
    yield stored
    shutil.rmtree(stored)
    shutil.copytree(tmp_path / "kept", stored)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "marker"


def mlmodel(artifact: Path, change: Callable[[dict[str, Any]], object]) -> None:
    yaml = YAML(typ="safe")
    content = yaml.load((artifact / "MLmodel").read_text())
    change(content)
    with (artifact / "MLmodel").open("w") as stream:
        yaml.dump(content, stream)


def assert_refused(folder: Path, marker: Path, reason: str) -> None:
    with pytest.raises(ThawError, match=reason):
        directory.load(fetch(Version("dev", 2), folder))
    assert not marker.exists()


def data(artifact: Path) -> Path:
    (spec,) = artifact.rglob("model.json")
    return spec.parent


def test_the_loader_that_is_allowed_is_thaws() -> None:
    assert pyfunc.__name__ == LOADER


@pytest.mark.slow
def test_code_that_the_artifact_brings_is_not_run(
    artifact: Path, marker: Path, tmp_path: Path
) -> None:
    (artifact / "code").mkdir()
    script = f"import os\nos.mkdir({str(marker)!r})\n_load_pyfunc = dict\n"
    (artifact / "code/evil.py").write_text(script)
    mlmodel(
        artifact,
        lambda content: content["flavors"]["python_function"].update(
            loader_module="evil", code="code"
        ),
    )
    assert_refused(tmp_path / "to", marker, "holds what does not belong to a model: 'code'")
    # The payload is a real one: this is what MLflow's own way does with it.
    with suppress(Exception):
        mlflow.pyfunc.load_model("models:/dev/2")
    assert marker.exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["flavors"]["python_function"].update(code="code"),
        lambda content: content["flavors"].update(python_function={"loader_module": LOADER}),
        lambda content: content["flavors"].update(sklearn={"pickled_model": "model.pkl"}),
        lambda content: content["flavors"]["python_function"].update(data="/etc"),
        lambda content: content["flavors"]["python_function"].update(data="../../other"),
        lambda content: content.update(flavors=None),
        lambda content: content.clear(),
    ],
    ids=["code", "no data", "another flavour", "absolute", "outside", "no flavours", "empty"],
)
def test_a_changed_mlmodel_is_refused(
    artifact: Path, marker: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    mlmodel(artifact, change)
    assert_refused(tmp_path / "to", marker, "models:/dev/2 ")


def test_yaml_cannot_make_an_object(artifact: Path, marker: Path, tmp_path: Path) -> None:
    payload = f"flavors: !!python/object/apply:os.mkdir ['{marker}']\n"
    (artifact / "MLmodel").write_text(payload)
    assert_refused(tmp_path / "to", marker, "is not a model of thaw: its MLmodel")


@pytest.mark.parametrize("place", ["data/extra.pkl", "data/{}/extra.pkl", "data/other/model.py"])
def test_a_file_beside_the_model_is_refused(
    artifact: Path, marker: Path, tmp_path: Path, place: str
) -> None:
    path = artifact / place.format(data(artifact).name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"payload")
    assert_refused(tmp_path / "to", marker, "do(es)? not belong to a model")


def test_a_link_to_a_folder_outside_is_refused(
    artifact: Path, marker: Path, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("secret")
    (data(artifact) / "link").symlink_to(tmp_path / "outside")
    assert_refused(
        tmp_path / "to", marker, "resolved path is outside|do(es)? not belong to a model"
    )


def test_flipped_weights_are_refused(artifact: Path, marker: Path, tmp_path: Path) -> None:
    path = data(artifact) / directory.WEIGHTS
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert_refused(tmp_path / "to", marker, "was changed or damaged")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("flipped", r"was changed.*`thaw status` lists other versions$"),
        ("gone", r"is not complete.*`dvc repro --single-item --force evaluate` uploads its files"),
    ],
)
def test_a_fetched_model_is_whole_before_anything_is_loaded(
    artifact: Path, tmp_path: Path, change: str, expected: str
) -> None:
    path = data(artifact) / directory.WEIGHTS
    if change == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ThawError, match=rf"models:/dev/2 {expected}"):
        fetch(Version("dev", 2), tmp_path / "to")


@pytest.mark.parametrize("tag", ["", "0" * 64])
def test_a_model_that_is_whole_but_not_the_registered_one_is_refused(
    tracking: Tracking, artifact: Path, marker: Path, tmp_path: Path, tag: str
) -> None:
    swapped = model_directory(tmp_path / "swapped", seed=5)
    shutil.copytree(tmp_path / "swapped", data(artifact), dirs_exist_ok=True)
    assert_refused(tmp_path / "to", marker, rf"its digest is {swapped.digest[:12]}, the version's")
    client, _ = connect(tracking)
    right = client.get_model_version("dev", "2").tags[DIGEST]
    client.set_model_version_tag("dev", "2", DIGEST, tag)
    try:
        assert_refused(tmp_path / "again", marker, "is not what was registered")
    finally:
        client.set_model_version_tag("dev", "2", DIGEST, right)
