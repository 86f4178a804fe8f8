"""Checks of the parameters before every stage and in `thaw check`.

The model is tried before the stage `prepare` and in `thaw check` only.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from thaw.cli import checked_model
from thaw.config import output_folders, overlaps
from thaw.config.explanations import shortened
from thaw.config.machine_limits import refuse_too_many_processes
from thaw.config.section import AUTO
from thaw.config.store_addresses import refuse_unusable_stores, warn_of_passwords
from thaw.errors import ThawError
from thaw.ingest.linked_outputs import refuse_linked_outputs
from thaw.system import network_sides
from thaw.system.files import resolved
from thaw.system.network_sides import NetworkSides
from thaw.system.project_paths import PARAMS_FILE

if TYPE_CHECKING:
    from thaw.config.params import Params
    from thaw.training.dry_run import DryRun


def refuse_unusable_parameters(params: Params) -> None:
    """Raise if a path, an address or a number of processes cannot be used on this machine.

    Folders of outputs that are links, and images in outputs, are refused, too. Addresses with a
    password give a warning.

    Raises:
        ThawError: names the parameter.
    """
    for key, path in (
        ("data.path", params.data.path),
        ("data.root", params.data.root),
        ("backbone.weights", params.backbone.weights),
    ):
        _refuse_unreadable(key, path)
    overlaps.refuse_overlaps(params)
    refuse_linked_outputs(params)
    output_folders.refuse_links()
    refuse_too_many_processes(params)
    refuse_unusable_stores(params)
    warn_of_passwords(params)


def try_model(params: Params) -> DryRun | None:
    """Build the model of ``params`` without weights; see :func:`thaw.training.dry_run.dry_run`.

    None if the network cannot be built without weights. Success is recorded, so that
    :func:`try_changed_model` does not repeat it.

    Raises:
        ThawError: the model cannot be built, cut or trained as the parameters say, or the file of
            its weights is missing.
    """
    from thaw.model import weights
    from thaw.registry.names import PREFIX, require_version
    from thaw.training.dry_run import dry_run

    chosen = params.backbone.weights
    weights.refuse_foreign_package(params.backbone.name, chosen)
    is_name = chosen in {"packaged", "pretrained", "none"} or chosen.startswith(PREFIX)
    if chosen.startswith(PREFIX):
        require_version(chosen, "backbone.weights")
    if not is_name and weights.is_file(chosen):
        weights.require_file(chosen)
    found = dry_run(params)
    if params.backbone.image_size == AUTO:
        network_sides.record(params.backbone.name, _sides(params.backbone.name))
    checked_model.record(params)
    return found


def _sides(name: str) -> NetworkSides:
    """Return the sides of the input that may be compared for the backbone ``name``."""
    from thaw.advice.tournament.candidates import sizes
    from thaw.model.head import HeadSpec
    from thaw.model.meta_classifier import meta_backbone, meta_classifier

    backbone = meta_backbone(name)
    native = backbone.image_size
    for side in sorted(sizes(native, native * 10), reverse=True):
        with suppress(ThawError, NotImplementedError):
            meta_classifier(backbone, HeadSpec(), 2, side)
            return NetworkSides(native, side)
    return NetworkSides(native, native)


def try_changed_model(params: Params) -> None:
    """Call :func:`try_model` unless the model of the same parameters was tried last."""
    if not checked_model.is_known(params):
        try_model(params)


def _refuse_unreadable(key: str, path: str) -> None:
    """Raise if ``path`` is no file or folder, or the file system cannot look for it.

    It may be a device or a pipe, too long, or a link to itself.

    Raises:
        ThawError: names the parameter.
    """
    try:
        target = resolved(Path(path))
        is_other = target.exists() and not (target.is_file() or target.is_dir())
    except OSError as error:
        raise ThawError(
            f"{PARAMS_FILE}: {key}: {shortened(path)} cannot be read: {error.strerror}; set it to "
            "another path"
        ) from None
    if is_other:
        raise ThawError(
            f"{PARAMS_FILE}: {key}: {shortened(path)} is a device, a pipe or a socket; set it to a "
            "file or a folder"
        )
