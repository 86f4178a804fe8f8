"""The sections on origin and use: commit, digests, versions, parameters, commands."""

from __future__ import annotations

import platform
import shlex
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from thaw import __version__
from thaw.config.result_values import differing
from thaw.system import provenance

if TYPE_CHECKING:
    from thaw.evaluation.page.subject import Registration, Subject

_INSTALL = f"pip install thaw-vision=={__version__}  # not on PyPI yet: `pip install .` in a clone"
_PACKAGES = ("torch", "torchvision", "timm", "mlflow", "numpy")


def origin_section(subject: Subject, registration: Registration) -> dict[str, Any]:
    """Return where the result comes from: each entry has a name and a text."""
    state = provenance.git_state()
    commit = f"{state[0]}{' and uncommitted changes' * state[1]}" if state else "no git commit"
    spec, manifest = subject.spec, subject.data.manifest
    entries = {
        "Registered version": f"models:/{registration.name}/{registration.version}",
        "MLflow run": registration.run_id,
        "Key of the result": registration.key,
        "Git commit": commit,
        "Data digest": manifest.digest,
        "Model digest": spec.digest,
        "dvc.lock digest": provenance.lock_digest() or "none",
        "Made from": spec.lineage,
        "thaw": __version__,
        "Python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
    }
    parameters = {key: str(value) for key, value in differing(subject.params).items()}
    return {"entries": entries, "parameters": parameters}


def commands_section(registration: Registration) -> list[dict[str, str]]:
    """Return what a reader does with the result: a purpose and the commands for it.

    The command that would release it is part of the release, which can change.
    """
    uri = f"models:/{registration.name}/{registration.version}"
    state = provenance.git_state()
    checkout = f"git checkout {state[0]}\n" if state else ""
    if state and state[1]:
        checkout += "# and the changes that were not committed when this result was made\n"
    quoted = shlex.quote(uri)
    return [
        {
            "purpose": "Compute the result again",
            "commands": f"{_INSTALL}\n{checkout}dvc repro",
        },
        {"purpose": "Classify images", "commands": f"thaw predict {quoted} FOLDER"},
        {"purpose": "Serve the model over HTTP", "commands": f"thaw serve {quoted}"},
        {
            "purpose": "Use it in Python",
            "commands": f'import thaw\n\nmodel = thaw.load_model("{uri}")\n'
            'model.predict(["photo.jpg"])',
        },
    ]


def now() -> str:
    """Return the present time in UTC, to the minute."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
