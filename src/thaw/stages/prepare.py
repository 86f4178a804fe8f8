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
from thaw.data.split_names import TRAIN
from thaw.errors import ProblemsError
from thaw.ingest import report, value_ranges
from thaw.ingest.checks import class_problems, conflict_problems, label_conflicts
from thaw.ingest.duplicates import near_groups
from thaw.ingest.labels import similarity_problems
from thaw.ingest.notes import source_notes
from thaw.ingest.reading import Problem, read_images
from thaw.ingest.removal import clear
from thaw.ingest.sources import list_images
from thaw.ingest.splits import fill_splits, given_split_problems, split, split_problems
from thaw.system import project_paths
from thaw.system.console import progress, say, warn
from thaw.system.locks import only_process
from thaw.system.processes import die_with_parent, run_main

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.config.data_sections import Prepare
    from thaw.ingest.listing import Listing
    from thaw.ingest.reading import ImageRecord


SECTIONS = ("seed", "data", "prepare")


def run(params: Params, found: Listing, folder: Path) -> dict[str, Any]:
    """Check, split and pack the images of ``found`` into ``folder``; return the data report.

    Raises:
        ProblemsError: the data cannot be used; one line per problem.
    """
    records, dropped, problems = _pack(params.prepare, found, folder)
    problems += class_problems(found)
    if params.prepare.on_similar_labels == "error":
        problems += similarity_problems(found)
    groups = [record.group for record in records]
    near = _near(params.prepare, records)
    splits, split_faults = _split(params, records, near or groups)
    problems += split_faults
    if problems:
        raise ProblemsError("the data cannot be used", problems)
    rows = [
        Row(
            id=number,
            path=record.sample.path,
            digest=record.digest,
            label=record.sample.label,
            split=split_name,
            width=record.width,
            height=record.height,
        )
        for number, (record, split_name) in enumerate(zip(records, splits, strict=True))
    ]
    manifest.write(rows, folder)
    conversions = [record.conversions for record in records]
    content = report.summarize(
        manifest.read(folder), groups, conversions, found.ignored, near, dropped
    )
    return {
        **content,
        "value_ranges": value_ranges.summarize(records),
        "notes": source_notes(found, params.prepare),
    }


def _pack(
    config: Prepare, found: Listing, folder: Path
) -> tuple[list[ImageRecord], list[list[str]], list[str]]:
    """Pack the readable images.

    Returns their records, the groups of images that were dropped because of their labels, and a
    line for each problem.
    """
    records: list[ImageRecord] = []
    problems = list(found.problems)
    images = progress(read_images(found, config), "reading images", len(found.samples))
    with PackWriter(folder, config) as store:
        for item in images:
            if isinstance(item, Problem):
                problems.append(item.text)
            else:
                records.append(item.record)
                store.add(item.pixels)
        conflicts = label_conflicts(
            [record.sample.path for record in records],
            [record.sample.label for record in records],
            [record.group for record in records],
        )
        if config.on_conflict == "error":
            return records, [], problems + conflict_problems(conflicts.values())
        numbers = {n for n, record in enumerate(records) if record.group in conflicts}
        store.leave_out(numbers)
    kept = [record for record in records if record.group not in conflicts]
    return kept, list(conflicts.values()), problems


def _near(config: Prepare, records: list[ImageRecord]) -> list[str] | None:
    """Return the group of near-duplicates of each image; None if they are not searched for."""
    if not config.near_duplicates:
        return None
    groups = [record.group for record in records]
    return near_groups(groups, [record.hash for record in records], config.near_duplicates)


def _split(
    params: Params, records: list[ImageRecord], groups: list[str]
) -> tuple[list[str], list[str]]:
    """Return the split of each image, given by the source or drawn, and problems."""
    labels = [record.sample.label for record in records]
    given = [record.sample.split for record in records]
    if any(given):
        named = [name or TRAIN for name in given]
        splits = fill_splits(labels, groups, named, params.prepare, params.seed)
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
    clear(project_paths.PREPARED)
    found = list_images(params.data, project_paths.SCRATCH / "digits")
    content = run(params, found, project_paths.PREPARED)
    folder = project_paths.REPORTS / "prepare"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / project_paths.REPORT).write_text(json.dumps(content, indent=2) + "\n")
    report.draw(
        manifest.read(project_paths.PREPARED),
        PackedStore(project_paths.PREPARED),
        folder / "samples.png",
    )
    for line in content["notes"]:
        say(line)
    for line in (*report.warnings(content), *value_ranges.warnings(content["value_ranges"])):
        warn(line)
    say(f"prepared {content['images']} images in {content['classes']} classes: {content['splits']}")


if __name__ == "__main__":
    run_main(main)
