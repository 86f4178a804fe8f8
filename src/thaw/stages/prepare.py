"""The stage prepare: write the manifest, the packed images and the data report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from thaw.config import overlaps
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.data import manifest
from thaw.data.manifest import Row
from thaw.data.packed_store import PackedStore, PackWriter
from thaw.errors import ProblemsError
from thaw.ingest import report
from thaw.ingest.checks import class_problems, read_all
from thaw.ingest.duplicates import near_groups
from thaw.ingest.removal import clear
from thaw.ingest.sources import listing
from thaw.ingest.splits import given_split_problems, split, split_problems
from thaw.system import project_paths
from thaw.system.console import progress, say, warn
from thaw.system.files import only_process
from thaw.system.processes import die_with_parent, run_main

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.config.data_sections import Prepare
    from thaw.ingest.checks import Facts
    from thaw.ingest.sources import Listing


SECTIONS = ("seed", "data", "prepare")


def run(params: Params, found: Listing, folder: Path) -> dict[str, Any]:
    """Check every image of ``found``, split, and pack into ``folder``; the data report.

    Raises:
        ProblemsError: all that is wrong with the data, each with its file.
    """
    facts, problems = _pack(params.prepare, found, folder)
    problems += class_problems(found)
    groups = [fact.group for fact in facts]
    near = _near(params.prepare, facts)
    splits, split_trouble = _split(params, facts, near or groups)
    problems += split_trouble
    if problems:
        raise ProblemsError("the data cannot be used", problems)
    rows = [
        Row(
            number, fact.sample.path, fact.digest, fact.sample.label, place, fact.width, fact.height
        )
        for number, (fact, place) in enumerate(zip(facts, splits, strict=True))
    ]
    manifest.write(rows, folder)
    conversions = [fact.conversions for fact in facts]
    return report.summarize(manifest.read(folder), groups, conversions, found.ignored, near)


def _pack(config: Prepare, found: Listing, folder: Path) -> tuple[list[Facts], list[str]]:
    """Pack what can be read; its facts, and a line for each image that cannot."""
    facts: list[Facts] = []
    problems = list(found.problems)
    images = progress(read_all(found, config), "reading images", len(found.samples))
    with PackWriter(folder, config) as store:
        for item in images:
            if isinstance(item, str):
                problems.append(item)
            else:
                fact, pixels = item
                facts.append(fact)
                store.add(pixels)
    return facts, problems


def _near(config: Prepare, facts: list[Facts]) -> list[str] | None:
    """The group of near-duplicates of each image, or None where they are not looked for."""
    if not config.near_duplicates:
        return None
    groups = [fact.group for fact in facts]
    return near_groups(groups, [fact.hash for fact in facts], config.near_duplicates)


def _split(params: Params, facts: list[Facts], groups: list[str]) -> tuple[list[str], list[str]]:
    """The split of each image, as the source brings it or drawn; or what is wrong with it."""
    labels = [fact.sample.label for fact in facts]
    given = [fact.sample.split for fact in facts]
    if any(given):
        splits = [name or "train" for name in given]
        return splits, given_split_problems(labels, splits)
    if problems := split_problems(labels, groups):
        if params.prepare.near_duplicates:
            problems.append("(near-duplicates count as one image: prepare.near_duplicates)")
        return [], problems
    fractions = params.prepare
    splits = split(
        labels,
        groups,
        val_fraction=fractions.val_fraction,
        test_fraction=fractions.test_fraction,
        seed=params.seed,
    )
    return splits, []


def main() -> None:
    """Read ``params.yaml``, run, and write the report beside the data."""
    die_with_parent()
    params = load(Params)
    overlaps.refuse_overlaps(params)
    with only_process(project_paths.SCRATCH / "prepare.lock", "the stage prepare"):
        _prepare(params)


def _prepare(params: Params) -> None:
    # Files of other settings must not stay. DVC leaves the folder alone (`persist` in dvc.yaml).
    clear(project_paths.PREPARED)
    found = listing(params.data, project_paths.PREPARED / "digits")
    content = run(params, found, project_paths.PREPARED)
    folder = project_paths.REPORTS / "prepare"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / project_paths.REPORT).write_text(json.dumps(content, indent=2) + "\n")
    report.draw(
        manifest.read(project_paths.PREPARED),
        PackedStore(project_paths.PREPARED),
        folder / "samples.png",
    )
    for line in report.warnings(content):
        warn(line)
    say(f"prepared {content['images']} images in {content['classes']} classes: {content['splits']}")


if __name__ == "__main__":
    run_main(main)
