"""No way in loads, promotes or copies an artifact that was changed by someone with all access."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import pytest

from tests import settings
from tests.promotion.offered import Shop
from tests.promotion.offering import offer
from tests.registry.hostile import CHANGES, resealed
from tests.registry.served import image, model_directory, with_statistics
from thaw.errors import ThawError
from thaw.registry.copying import copy_version
from thaw.registry.names import DIGEST
from thaw.registry.register import ModelRecord, register
from thaw.registry.starting_model import begin
from thaw.serving import loaded_model
from thaw.serving.batch_prediction import predict_folder
from thaw.serving.export import export_model
from thaw.serving.served_model import load_served_model
from thaw.serving.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAME = "hostile"
URI = f"models:/{NAME}/2"
MLMODEL: dict[str, Callable[[str], str]] = {
    "MLmodel: another loader": lambda text: text.replace("thaw.registry.pyfunc", "os"),
    "MLmodel: code": lambda text: text.replace("code: null", "code: code"),
    "MLmodel: data elsewhere": lambda text: text.replace("data: data/", "data: /etc/"),
    "MLmodel: data above": lambda text: text.replace("data: data/", "data: ../../"),
    "MLmodel: another flavor": lambda text: text.replace("flavors:", "flavors:\n  sklearn: {}"),
    "MLmodel: python object": lambda _: "flavors: !!python/object/apply:os.mkdir ['ran']\n",
    "MLmodel: nested": lambda _: "flavors: " + "[" * 16_000,
    "MLmodel: 200,000 keys": lambda _: "".join(f"k{n}: 1\n" for n in range(200_000)),
    "MLmodel: empty": lambda _: "",
}
ROOT: dict[str, Callable[[Path], object]] = {
    "root: file": lambda a: (a / "evil.py").write_text("x"),
    "root: folder": lambda a: (a / "code").mkdir(),
    "root: link": lambda a: (a / "evil").symlink_to("/etc/passwd"),
}
ALL = [*CHANGES, *MLMODEL, *ROOT]
SAMPLE = (
    "preprocessing.image_size = 0", "statistics: of another place", "weights: NaN",
    "file: pickle", "MLmodel: another loader", "root: file",
)  # fmt: skip


def ways(shop: Shop, folder: Path) -> dict[str, Callable[[], object]]:
    """Return every way in which thaw reads a registered model."""
    tracking = shop.params.tracking
    backbone = settings.backbone("timm/test_efficientnet", weights=URI)
    params = shop.params.model_copy(update={"backbone": backbone})
    images = folder / "images"
    images.mkdir()
    (images / "a.png").write_bytes(image())
    return {
        "load_model": lambda: loaded_model.load(URI, tracking),
        "predict": lambda: predict_folder(URI, images, folder / "out.csv").raise_problems(),
        "serve": lambda: load_served_model(URI, Settings()),
        "promote": lambda: offer(shop, NAME, 2, force=True, reason="x"),
        "copy": lambda: copy_version(URI, "hostile-copy", tracking),
        "backbone.weights": lambda: begin(params, params.head, shop.data, URI),
        "export": lambda: export_model(URI, "torch-export", folder / "x", images, shop.prepared),
    }


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A project whose version 2 is a merged model with statistics."""
    folder = tmp_path_factory.mktemp("project")
    made = Shop(folder, f"sqlite:///{folder}/mlruns/mlflow.db")
    made.register(NAME)
    model_directory(folder / "plain")
    with_statistics(folder / "plain", folder / "merged")
    digest = resealed(folder / "merged")
    with mlflow.start_run(experiment_id=made.experiment):
        register(NAME, folder / "merged", ModelRecord(digest, {"accuracy": 0.5}), image())
    return made


@pytest.fixture(scope="module")
def stored(shop: Shop) -> Path:
    """The folder in which the local store keeps the artifact of version 2."""
    uri = shop.client.get_model_version_download_uri(NAME, "2")
    return Path(mlflow.artifacts.download_artifacts(uri))


@contextlib.contextmanager
def changed(change: str, shop: Shop, stored: Path, kept: Path) -> Iterator[None]:
    """Change the stored artifact and give the version the digest that fits; undo it afterwards."""
    shutil.copytree(stored, kept)
    digest = shop.tags(NAME, 2)[DIGEST]
    try:
        if change in MLMODEL:
            path = stored / "MLmodel"
            path.write_text(MLMODEL[change](path.read_text()))
        else:
            ({**CHANGES, **ROOT}[change])(stored)
            (model,) = (stored / "data").iterdir()
            shop.client.set_model_version_tag(NAME, "2", DIGEST, resealed(model) or digest)
        yield
    finally:
        shutil.rmtree(stored)
        shutil.copytree(kept, stored, symlinks=True)
        shop.client.set_model_version_tag(NAME, "2", DIGEST, digest)


def assert_refused(way: Callable[[], object], folder: Path) -> None:
    begun = time.process_time()
    with pytest.raises(ThawError) as refused:
        way()
    assert time.process_time() - begun < 1
    assert "\n" not in str(refused.value)
    assert tempfile.gettempdir() not in str(refused.value).replace(str(folder), "")


@pytest.mark.slow
@pytest.mark.parametrize(
    "change", [pytest.param(c, marks=() if c in SAMPLE else pytest.mark.soak) for c in ALL]
)
def test_no_way_in_takes_a_hostile_artifact(
    change: str, shop: Shop, stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shop.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", shop.params.tracking.uri)
    before: Any = shop.aliases(NAME), len(shop.ledger(NAME).rows())
    with changed(change, shop, stored, tmp_path / "kept"):
        for way in ways(shop, tmp_path).values():
            assert_refused(way, shop.folder)
    assert (shop.aliases(NAME), len(shop.ledger(NAME).rows())) == before
    assert not list(shop.folder.rglob("ran"))
    assert not shop.client.search_registered_models("name = 'hostile-copy'")


def test_every_way_takes_the_artifact_as_it_was_registered(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shop.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", shop.params.tracking.uri)
    # An export takes seconds: it is enough that it begins. `thaw export` has tests of its own.
    monkeypatch.setattr("thaw.serving.export.export", begin_export)
    for name, way in ways(shop, tmp_path).items():
        if name == "export":
            with pytest.raises(ExportBegunError):
                way()
        elif name != "copy":  # it would be found by the other test
            way()


class ExportBegunError(Exception):
    """The model was accepted, and its export begins."""


def begin_export(*_: object) -> bytes:
    raise ExportBegunError
