from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from thaw.evaluation.page.depth_section import depth_section
from thaw.system.files import write_json

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.evaluation.page.subject import Subject


def _probe(*blocks: int, accuracy: float) -> dict[str, Any]:
    return {"blocks": blocks, "width": 8, "accuracy": accuracy, "error": 0.01}


def _content(project: Subject) -> dict[str, Any]:
    return {
        "data": project.data.digest,
        "backbone": project.spec.backbone,
        "measurements": {
            "block_probes": [_probe(n, accuracy=n / 10) for n in (1, 2, 3)],
            "joint_probes": [_probe(2, 3, accuracy=0.5), _probe(1, 2, 3, accuracy=0.6)],
        },
    }


def test_each_block_alone_and_with_all_later_blocks_is_a_row(
    project: Subject, tmp_path: Path
) -> None:
    write_json(tmp_path / "probe.json", _content(project))
    rows = depth_section(project, tmp_path / "probe.json")
    assert rows is not None
    found = [(row["kind"], row["block"], row["accuracy"]) for row in rows]
    alone, joined = "block alone", "block to the last"
    assert found == [
        (alone, 1, 0.1), (alone, 2, 0.2), (alone, 3, 0.3),
        (joined, 1, 0.6), (joined, 2, 0.5), (joined, 3, 0.3),
    ]  # fmt: skip


@pytest.mark.parametrize("change", [{"data": "0" * 64}, {"backbone": "timm/vgg11"}])
def test_a_measurement_of_other_data_or_another_backbone_is_not_shown(
    project: Subject, tmp_path: Path, change: dict[str, str]
) -> None:
    write_json(tmp_path / "probe.json", _content(project) | change)
    assert depth_section(project, tmp_path / "probe.json") is None


@pytest.mark.parametrize("text", [None, "", "[]", "null", '{"data": 1}'])
def test_without_a_measurement_or_with_a_damaged_one_there_is_no_section(
    project: Subject, tmp_path: Path, text: str | None
) -> None:
    if text is not None:
        (tmp_path / "probe.json").write_text(text)
    assert depth_section(project, tmp_path / "probe.json") is None
