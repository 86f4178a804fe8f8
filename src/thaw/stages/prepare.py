"""The stage prepare: write the manifest, the packed images and the data report."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from thaw.config import output_folders, overlaps
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.data import integrity, manifest
from thaw.data.manifest import LeftOut, Row
from thaw.data.packed_store import INDEX, SETTINGS, PackedStore
from thaw.data.split_names import SPLITS, TRAIN
from thaw.errors import ProblemsError
from thaw.ingest import dvc_ignore, file_states, pack_size, quarantine, report, value_ranges
from thaw.ingest.checks import class_problems
from thaw.ingest.duplicates import near_groups
from thaw.ingest.label_checks import similarity_problems
from thaw.ingest.linked_outputs import refuse_linked_outputs
from thaw.ingest.listing import shown_path
from thaw.ingest.packing import keep_for_next_run, pack, remove_scratch
from thaw.ingest.record_columns import columns_of
from thaw.ingest.removal import clear
from thaw.ingest.source_notes import source_notes
from thaw.ingest.sources import list_images
from thaw.ingest.splits import (
    fill_splits,
    given_split_problems,
    lost_split_problems,
    split,
    split_problems,
)
from thaw.stages.pack_side_check import lost_detail
from thaw.system import project_paths
from thaw.system.console import say, warn
from thaw.system.files import write_json, write_whole
from thaw.system.locks import only_process
from thaw.system.memory import return_free_memory
from thaw.system.processes import die_with_parent, run_main

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from thaw.config.prepare_section import Prepare
    from thaw.ingest.listing import Listing
    from thaw.ingest.packing_journal import RecordFile


SECTIONS = ("seed", "data", "prepare")
PACKING = "packing"  # folder of a run that was stopped


def run(
    params: Params, found: Listing, folder: Path, scratch: Path | None = None
) -> dict[str, Any]:
    """Check, split and pack the images of ``found`` into ``folder``; return the data report.

    ``scratch`` is the folder of what is kept between runs: the states of the source files, and the
    packed images of a run that was stopped.

    Raises:
        ProblemsError: the data cannot be used; one line per problem.
    """
    if scratch is None:
        with TemporaryDirectory(prefix=".packing-", dir=folder) as temporary:
            return _run(params, found, folder, Path(temporary), None)
    return _run(params, found, folder, scratch / PACKING, scratch / file_states.FOLDER)


def _run(
    params: Params, found: Listing, folder: Path, packing: Path, states: Path | None
) -> dict[str, Any]:
    packed = pack(params.prepare, found, folder, packing, states)
    records, bad = packed.records, packed.bad_files
    columns = columns_of(records)
    labels, groups, given = columns.labels, columns.groups, columns.given
    problems = [*packed.problems, *class_problems(found)]
    problems += quarantine.bad_file_problems(params.data, found, bad, labels)
    if params.prepare.on_similar_labels == "error":
        problems += similarity_problems(found)
    near = _near(params.prepare, records, groups)
    lost = lost_split_problems({sample.split for sample in found.samples}, set(given))
    splits, split_faults = _split(params, labels, given, near or groups)
    problems += lost or split_faults
    if problems:
        keep_for_next_run(folder, packing)
        remedy = quarantine.remedy(params.data) if bad else ""
        raise ProblemsError("the data cannot be used", problems, remedy)
    left_out = [LeftOut(shown_path(each.path), shown_path(each.label), each.reason) for each in bad]
    manifest.write(_rows(records, splits), folder, left_out)
    if states is not None:
        file_states.write(packed.states, states, found.root)
    integrity.seal(folder / SETTINGS, [manifest.FILE, INDEX])
    content = report.summarize(
        manifest.read(folder), groups, columns.conversions, found.ignored, near, packed.dropped
    )
    ranges = value_ranges.summarize(records)
    remove_scratch(packing)
    return {
        **content,
        "changed_without_time": packed.changed,
        "left_out": quarantine.summarize(found, bad),
        "pack": pack_size.summarize(PackedStore(folder)),
        "value_ranges": ranges,
        "notes": source_notes(found, params.prepare),
    }


def _rows(records: RecordFile, splits: list[str]) -> Iterator[Row]:
    """Yield the rows of the manifest."""
    for number, (record, split_name) in enumerate(zip(records, splits, strict=True)):
        yield Row(
            id=number,
            path=record.sample.path,
            digest=record.digest,
            label=record.sample.label,
            split=split_name,
            width=record.width,
            height=record.height,
        )


def _near(config: Prepare, records: RecordFile, groups: Sequence[str]) -> list[str] | None:
    """Return the group of near-duplicates of each image; None if they are not searched for."""
    if not config.near_duplicates:
        return None
    return near_groups(groups, [record.hash for record in records], config.near_duplicates)


def _split(
    params: Params, labels: list[str], given: list[str | None], groups: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Return the split of each image, given by the source or drawn, and problems."""
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
    refuse_linked_outputs(params)
    output_folders.refuse_links()
    with only_process(project_paths.SCRATCH / "prepare.lock", "the stage prepare"):
        _prepare(params)


def _prepare(params: Params) -> None:
    clear(project_paths.PREPARED)
    scratch = project_paths.SCRATCH / "prepare"
    try:
        # No name refers to the listing afterwards: its memory is free for the figure.
        content = run(
            params, list_images(params.data, project_paths.SCRATCH), project_paths.PREPARED, scratch
        )
    except ProblemsError as error:
        _write_problems(error)
        raise
    return_free_memory()  # of the lists of all images: the figure needs most of the rest
    folder = project_paths.REPORTS / "prepare"
    write_json(folder / project_paths.REPORT, content)
    report.draw(
        manifest.read(project_paths.PREPARED),
        PackedStore(project_paths.PREPARED),
        folder / "samples.png",
    )
    for line in content["notes"]:
        say(line)
    rows = manifest.read(project_paths.PREPARED).rows
    for line in [*_warnings(content), *lost_detail(params, rows)]:
        warn(line)
    if dvc_ignore.outdated(params.data):
        warn(f"{dvc_ignore.FILE} is out of date: run `thaw check`, so that DVC sees all images")
    say(_summary(content))


def _summary(content: dict[str, Any]) -> str:
    """Return the line that ends the stage."""
    train, val, test = (content["splits"][name] for name in SPLITS)
    return (
        f"prepared {content['images']} images in {content['classes']} classes: {train} for "
        f"training, {val} for validation, {test} for the test"
    )


def _write_problems(error: ProblemsError) -> None:
    """Write all problems to a file if the message does not have all of them."""
    if all(problem in str(error) for problem in error.problems):
        return
    path = project_paths.SCRATCH / "prepare" / "problems.txt"
    write_whole(path, "\n".join([*map(shown_path, error.problems), ""]).encode())
    say(f"all problems are listed in {path}")


def _warnings(content: dict[str, Any]) -> list[str]:
    return [
        *quarantine.warnings(content["left_out"]),
        *file_states.warnings(content["changed_without_time"]),
        *report.warnings(content),
        *value_ranges.warnings(content["value_ranges"]),
        *pack_size.warnings(content["pack"]),
    ]


if __name__ == "__main__":
    run_main(main)
