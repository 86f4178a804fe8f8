"""Upload a model to the Hugging Face hub (`thaw push-to-hub`)."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from thaw.errors import ThawError
from thaw.evaluation.page.card import escape_markdown, with_metadata
from thaw.model import directory
from thaw.model.timm_form import save_timm_form
from thaw.registry.model_cards import read_card
from thaw.serving.model_uri import local_model, registry_settings
from thaw.system.console import say

if TYPE_CHECKING:
    from thaw.model.spec import ModelSpec

# Without it, the client of the store of weights (Xet) repeats its requests for minutes in silence.
_XET_ATTEMPTS = ("HF_XET_CLIENT_RETRY_MAX_ATTEMPTS", "2")
_MOST_CLASSES = 20  # that a short card names
_OWN = "thaw"  # the folder of the model directory in the repository
# Errors of the HTTP clients that huggingface_hub uses in its versions, and of Python, by name.
_NO_ANSWER = {"TransportError", "ConnectionError", "TimeoutError", "Timeout"}
_TIMM = (
    "\n## Use with timm\n\n```python\nimport timm\n\n"
    'model = timm.create_model("hf-hub:{repo}", pretrained=True)\n```\n'
)


class Pushed(NamedTuple):
    """The address of the commit on the hub, and whether it has weights as timm reads them."""

    address: str
    has_timm_weights: bool


def push(
    model_uri: str,
    repo: str,
    *,
    private: bool,
    license_id: str = "",
    endpoint: str | None = None,
) -> Pushed:
    """Upload a model with its card to the repository ``repo``.

    The repository gets ``README.md`` (the model card), the model directory in ``thaw/``, and, where
    the architecture is plain, the weights as timm reads them. It is created if it does not exist.
    ``license_id`` is the licence in the header of the card; "" is that of the backbone's weights,
    where it is known. ``endpoint`` is the address of the hub, by default that of the environment.

    Raises:
        ThawError: ``repo`` is not OWNER/NAME, there is no such model, or the hub refuses or does
            not answer.
    """
    from huggingface_hub import HfApi

    _check_name(repo)
    with local_model(model_uri) as model, tempfile.TemporaryDirectory(prefix="thaw-") as scratch:
        folder = Path(scratch)
        spec = _fill(model.folder, folder)
        is_plain = (folder / "config.json").exists()
        card = read_card(model.name, registry_settings) or _short_card(model.name, spec)
        card = with_metadata(card, is_timm=is_plain, license_id=license_id)
        usage = _TIMM.format(repo=repo) if is_plain else ""
        (folder / "README.md").write_text(card + usage, encoding="utf-8")
        os.environ.setdefault(*_XET_ATTEMPTS)
        api = HfApi(endpoint=endpoint)
        try:
            api.create_repo(repo, private=private, exist_ok=True)
            done = api.upload_folder(
                repo_id=repo, folder_path=folder, commit_message=f"Upload {model.name}"
            )
        except Exception as error:  # its HTTP client has kinds of its own
            raise ThawError(_failure(repo, error)) from None
    forms = "with timm's weights" if is_plain else "without timm's weights: it is no plain network"
    say(f"uploaded {model.name} to {repo}, {forms}")
    return Pushed(str(done.commit_url), is_plain)


def _check_name(repo: str) -> None:
    """Raise if ``repo`` is not OWNER/NAME as the hub allows it."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # public

    try:
        validate_repo_id(repo)
    except HFValidationError:
        valid = False
    else:
        valid = repo.count("/") == 1
    if not valid:
        raise ThawError(
            f"{repo}: must be OWNER/NAME, each of letters, digits, '-', '_' and '.', "
            "such as me/flowers"
        )


def _failure(repo: str, error: Exception) -> str:
    """Return the message for an upload that failed with ``error``."""
    reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
    if _NO_ANSWER & {base.__name__ for base in type(error).__mro__}:
        return (
            f"{repo}: the hub does not answer ({reason}): check the network and HF_ENDPOINT, and "
            "run the command again; HF_HUB_DISABLE_XET=1 uploads without the hub's store Xet, "
            "which has an address of its own"
        )
    return (
        f"{repo}: the hub did not take the model ({reason}): `hf auth login` or the "
        "variable HF_TOKEN give access, HF_ENDPOINT names another hub"
    )


def _fill(source: Path, folder: Path) -> ModelSpec:
    """Write the files of the model into ``folder``; return its spec."""
    classifier, spec = directory.load(source, allow_others=True)
    with directory.only_files_of(source, spec) as only:
        shutil.copytree(only, folder / _OWN)
    save_timm_form(classifier, spec, folder)
    return spec


def _short_card(name: str, spec: ModelSpec) -> str:
    """Return a card for a model whose result has none."""
    classes = ", ".join(map(escape_markdown, spec.classes[:_MOST_CLASSES]))
    if len(spec.classes) > _MOST_CLASSES:
        classes += f" and {len(spec.classes) - _MOST_CLASSES} more"
    return (
        "---\nlibrary_name: thaw\npipeline_tag: image-classification\n---\n\n"
        f"# {escape_markdown(name)}\n\n{escape_markdown(spec.backbone)} for "
        f"{len(spec.classes)} classes: {classes}.\n"
    )
