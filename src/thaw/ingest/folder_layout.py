"""Decide what the folders of a source are: classes, splits with classes, or classes with splits.

Names alone do not decide: a class may be called "test". The folders below them do.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from thaw.data.split_names import SPLITS, TRAIN
from thaw.ingest.folder_tree import folder_names
from thaw.ingest.split_spelling import resolve_splits, spelling_of
from thaw.system.quantities import quantity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from thaw.config.data_sections import LayoutKind
    from thaw.ingest.folder_tree import Folder
    from thaw.ingest.split_spelling import Spelling

_MOST_NAMED = 4
_AS_SPLITS = (
    "name the folders of splits train, val and test, with a folder per class in each, or list the "
    "images in a CSV file with the columns path,label,split"
)
_AS_CLASSES = "if the folders are classes, set data.layout to class"


@dataclass
class Layout:
    """The meaning of the folders of a source.

    ``splits`` maps the names of split folders to splits. ``notes`` say what was understood,
    ``problems`` what must be corrected.
    """

    kind: LayoutKind
    splits: Mapping[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def layout_of(root: Path, folders: Sequence[Folder]) -> Layout:
    """Return what ``folders``, the folders in ``root``, are."""
    spelled = {folder.name: spelling_of(folder.name) for folder in folders}
    named = {name: spelling for name, spelling in spelled.items() if spelling}
    if named and len(named) == len(folders) and not _are_variants(named):
        return _splits_at_top(root, folders, named)
    if any(_split_names(folder) for folder in folders):
        return _splits_in_classes(root, folders)
    if reason := _mixed(folders, named) or _repeated(folders):
        return Layout("class", problems=[f"{root}: {reason}: {_AS_SPLITS}; {_AS_CLASSES}"])
    return Layout("class", notes=_class_notes(folders, named))


def required_layout(root: Path, folders: Sequence[Folder], kind: LayoutKind) -> Layout:
    """Return the layout that ``data.layout`` states, with a problem where a folder does not fit."""
    if kind == "class":
        return Layout("class")
    names = {folder.name for folder in folders}
    if kind == "class/split":
        names = {name for folder in folders for name in folder.subfolders}
    spelled = {name: spelling_of(name) for name in sorted(names)}
    if unknown := [name for name, spelling in spelled.items() if spelling is None]:
        reason = f"data.layout is {kind}, but {_listed(unknown)} names no split"
        return Layout(kind, problems=[f"{root}: {reason}: {_AS_SPLITS}"])
    return _with_splits(root, kind, {name: found for name, found in spelled.items() if found})


def _splits_at_top(root: Path, folders: Sequence[Folder], named: Mapping[str, Spelling]) -> Layout:
    """Return the layout of folders all of whose names name a split."""
    texts = {(found.rest, found.numbers) for found in named.values()}
    kinds = Counter(found.kind for found in named.values())
    several = sum(count > 1 for count in kinds.values())
    if len({rest for rest, _ in texts}) > 1 or (len(texts) > 1 and several > 1):
        reason = f"the names {_listed(named)} hold more than the split"
        return Layout("class", problems=[f"{root}: {reason}: {_AS_SPLITS}; {_AS_CLASSES}"])
    if not any(folder.subfolders for folder in folders):
        them = "them" if len(named) > 1 else "it"
        reason = f"{_name_splits(named)}, but there is no folder per class in {them}"
        return Layout("split/class", problems=[f"{root}: {reason}: {_AS_SPLITS}; {_AS_CLASSES}"])
    return _with_splits(root, "split/class", named)


def _with_splits(root: Path, kind: LayoutKind, named: Mapping[str, Spelling]) -> Layout:
    """Return a layout with the splits that ``named`` names."""
    try:
        splits = resolve_splits(spelling.kind for spelling in named.values())
    except ValueError as error:
        reason = f"{_listed(named)} name {error}"
        return Layout(kind, problems=[f"{root}: {reason}: {_AS_SPLITS}"])
    split_of = {name: splits[spelling.kind] for name, spelling in named.items()}
    if TRAIN not in split_of.values():
        none = "none is" if len(named) > 1 else "it is not"
        reason = f"{_name_splits(named)}, but {none} the training split"
        return Layout(kind, split_of, problems=[f"{root}: {reason}: {_AS_SPLITS}; {_AS_CLASSES}"])
    names = {split: [name for name in split_of if split_of[name] == split] for split in SPLITS}
    texts = [f"{split} from {_listed(found)}" for split, found in names.items() if found]
    place = "splits" if kind == "split/class" else "splits in each class folder"
    return Layout(kind, split_of, notes=[f"{place}: {', '.join(texts)}"])


def _are_variants(named: Mapping[str, Spelling]) -> bool:
    """Return whether all names name one split, and differ in other words.

    ``test positive`` and ``test negative`` are classes.
    """
    kinds = {spelling.kind for spelling in named.values()}
    rests = {spelling.rest for spelling in named.values()}
    return len(kinds) == 1 and len(rests) == len(named) > 1


def _split_names(folder: Folder) -> dict[str, Spelling]:
    """Return the folders in a class folder that name two or more splits; nothing if they do not."""
    spelled = {name: spelling_of(name) for name in folder.subfolders}
    named = {name: found for name, found in spelled.items() if found and not found.rest}
    if len(named) < len(spelled):
        named = {name: found for name, found in named.items() if not found.short}
    return named if len({found.kind for found in named.values()}) > 1 else {}


def _splits_in_classes(root: Path, folders: Sequence[Folder]) -> Layout:
    """Return the layout of class folders of which some contain the folders of splits."""
    named: dict[str, Spelling] = {}
    for folder in folders:
        found = {name: spelling_of(name) for name in folder.subfolders}
        named |= {name: spelling for name, spelling in found.items() if spelling}
        if folder.has_images or not found or not all(found.values()):
            problem = "some class folders contain folders of splits (train, test), others do not"
            example = f"{root}: {problem}, for example {folder.name}"
            return Layout("class", problems=[f"{example}: {_AS_SPLITS}; {_AS_CLASSES}"])
    deeper = [folder.path / name for folder in folders for name in folder.subfolders]
    if len(folders) == 1 or any(folder_names(path, in_class=True) for path in deeper):
        verb = "contains" if len(folders) == 1 else "contain"
        names = _listed([folder.name for folder in folders])
        reason = f"{names} {verb} splits, as data sets do"
        place = f"set data.path to one data set, for example {folders[0].path}"
        return Layout("class", problems=[f"{root}: {reason}: {place}; {_AS_CLASSES}"])
    return _with_splits(root, "class/split", named)


def _mixed(folders: Sequence[Folder], named: Mapping[str, Spelling]) -> str | None:
    """Return why some folders look like splits beside others that do not; None if they do not."""
    clear = {name: found for name, found in named.items() if not found.short}
    if not clear or _are_variants(clear):
        return None
    kinds = {spelling.kind for spelling in clear.values()}
    holds_classes = any(
        folder.subfolders and clear[folder.name].kind in {"train", "train and val"}
        for folder in folders
        if folder.name in clear
    )
    if len(kinds) == 1 and not holds_classes:
        return None
    others = [folder.name for folder in folders if folder.name not in clear]
    them = "them" if len(clear) > 1 else "it"
    do = "do" if len(others) > 1 else "does"
    return f"{_name_splits(clear)}, but {_listed(others)} beside {them} {do} not"


def _repeated(folders: Sequence[Folder]) -> str | None:
    """Return that all folders contain the same folders, as splits do; None if they do not."""
    if len(folders) <= 1 or any(folder.has_images for folder in folders):
        return None
    deeper = [_with_classes(folder) for folder in folders]
    contents = [{name.casefold() for name in names} for names in deeper]
    shared, together = set.intersection(*contents), set.union(*contents)
    if len(together) == 1 or 2 * len(shared) < len(together) or not shared:
        return None
    names = _listed([folder.name for folder in folders])
    return f"the folders {names} contain the same folders ({_listed(sorted(shared))})"


def _with_classes(folder: Folder) -> Sequence[str]:
    """Return the folders in ``folder``, or in its only folder, as in ``images/train/cat``."""
    if len(folder.subfolders) == 1:
        return folder_names(folder.path / folder.subfolders[0], in_class=True) or folder.subfolders
    return folder.subfolders


def _class_notes(folders: Sequence[Folder], named: Mapping[str, Spelling]) -> list[str]:
    """Return what was understood about class folders, where it may surprise."""
    notes = []
    if clear := [name for name, found in named.items() if not found.short]:
        notes.append(f"{_listed(clear)}: taken as a class, not as a split")
    if divided := [folder for folder in folders if folder.subfolders]:
        example = f"{divided[0].name}/{divided[0].subfolders[0]}"
        notes.append(
            f"{quantity(len(divided), 'class folder contains', 'class folders contain')} folders, "
            f"for example {example}: the images in them belong to the class"
        )
    return notes


def _name_splits(named: Mapping[str, Spelling]) -> str:
    return f"{_listed(named)} {'name splits' if len(named) > 1 else 'names a split'}"


def _listed(names: Sequence[str] | Mapping[str, Spelling]) -> str:
    texts = [name if name.isprintable() else repr(name) for name in names]
    more = len(texts) - _MOST_NAMED
    return ", ".join(texts[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
