"""A small training in the processes that are running; each writes its weights."""

from __future__ import annotations

import sys
from pathlib import Path

from safetensors.torch import save_file

from tests.training import phase
from thaw.config.process_sections import Launch
from thaw.training.runtime import start


def main(out: Path, config: str) -> None:
    """Train in as many processes as the file ``config`` says, and write ``out/RANK``."""
    runtime = start(Launch(processes="auto", config=config, threads=1), phase.resources())
    folder = out / f"data-{runtime.rank}"
    train, val = phase.images(folder / "train"), phase.images(folder / "val", phase.VAL)
    classifier = phase.model(2, "frozen")
    phase.fit(out / "fit", classifier, (train, val), runtime=runtime)
    state = {key: value.contiguous() for key, value in phase.state(classifier).items()}
    save_file(state, out / f"{runtime.rank}.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
