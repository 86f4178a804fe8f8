"""Hostile artifacts: changes of a registered model by someone who can write all of its files.

A user who can write the files can also write digests that fit: ``resealed`` does.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import struct
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Change = "Callable[[Path], object]"  # of the root of an artifact
WEIGHTS, STATISTICS, SPEC = "model.safetensors", "statistics.safetensors", "model.json"


class Marker:
    """Unpickled, it leaves a folder behind."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(self._marker),)


def data(artifact: Path) -> Path:
    """Return the model directory of an artifact, or the folder itself."""
    found = [path for path in artifact.glob("data/*") if (path / SPEC).exists()]
    return found[0] if found else artifact


def resealed(folder: Path) -> str:
    """Write the digests that fit the files of a model directory; return that of the model."""
    path = folder / SPEC
    if not path.is_file():
        return ""
    try:
        content = json.loads(path.read_text())
        for name in content["files"]:
            if (folder / name).is_file():
                digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
                content["files"][name] = digest
        without = {key: value for key, value in content.items() if key != "digest"}
        text = json.dumps(without, sort_keys=True)
        content["digest"] = hashlib.sha256(text.encode()).hexdigest()
        path.write_text(json.dumps(content))
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError):
        return ""
    return str(content["digest"])


def spec(place: str, value: object) -> Callable[[Path], object]:
    """Return a change of ``model.json`` at a dotted ``place``."""

    def change(artifact: Path) -> None:
        path = data(artifact) / SPEC
        content = json.loads(path.read_text())
        *parents, last = place.split(".")
        target: Any = content
        for key in parents:
            target = target[int(key)] if key.isdecimal() else target[key]
        target[int(last) if last.isdecimal() else last] = value
        path.write_text(json.dumps(content))

    return change


def raw_spec(text: str | Callable[[], str]) -> Callable[[Path], object]:
    """Return a change that replaces ``model.json``; long texts are functions that make them."""
    return lambda artifact: (data(artifact) / SPEC).write_text(
        text if isinstance(text, str) else text()
    )


def tensors(
    name: str, edit: Callable[[dict[str, torch.Tensor]], object]
) -> Callable[[Path], object]:
    """Return a change of the tensors in a file."""

    def change(artifact: Path) -> None:
        path = data(artifact) / name
        state = load_file(path)
        edit(state)
        save_file(state, path)

    return change


def content(name: str, value: bytes) -> Callable[[Path], object]:
    """Return a change that replaces a file of the model directory."""
    return lambda artifact: (data(artifact) / name).write_bytes(value)


def _first(state: dict[str, torch.Tensor], value: float) -> None:
    key = next(key for key, tensor in state.items() if tensor.is_floating_point() and tensor.ndim)
    state[key].view(-1)[0] = value


def _last(state: dict[str, torch.Tensor]) -> str:
    return max(key for key in state if key.startswith("head.") and key.endswith("weight"))


def _swap(state: dict[str, torch.Tensor], key: str, tensor: torch.Tensor) -> None:
    state[key] = tensor


SPEC_VALUES: dict[str, list[object]] = {
    "preprocessing.image_size": [0, -1, 10**6, 10**12, "x", None, [], {}, 1.5],
    "preprocessing.short_side": [0, -1, 10**9, "x", None],
    "preprocessing.max_megapixels": [0, -1.0, 1e308, "x", None],
    "preprocessing.crop_pct": [0, -0.5, 1e-9, 1.5, 1e308, "x", None],
    "preprocessing.pixel_range": [[0, float("inf")], [5, 5], [9, 0], [0, 1e300], [0], "x", None],
    "preprocessing.interpolation": ["nearest", "", None, 3],
    "preprocessing.mean": [[], [0.5], [0.5, 0.5, 1e300], "x", None],
    "preprocessing.std": [[0, 0, 0], [1, 1, 0.0], [-1, 1, 1], [1e300, 1, 1], None],
    "blocks": [0, -1, 10**9, 1, "x", None, 1.5],
    "classes": [[], [""], ["a"], ["cat", "cat", "yak"], ["cat", "dog"], [1, 2, 3], None, "abc"],
    "head.hidden": [[0], [-1], [8], [10**9], [1] * 5000, "x", None, [1.5]],
    "head.taps": [[0], [99], [10**9], "x", None],
    "head.dropout": [1.0, -0.1, "x", None],
    "head.activation": ["evil", "", None, 3],
    "head.norm": ["evil", None],
    "head.scale": [1],
    "backbone": [
        "", "timm/", "timm/none", "timm/hf-hub:evil/model", "timm/hf_hub:evil/model",
        "timm/local-dir:/tmp", "torchvision/../x", "lenet5", "timm/mobilenetv2_035", 5, None,
        "/etc/passwd", "http://evil.example/x", "timm/test_vit", "x" * 100_000,
    ],
    "folded": [["blocks.0"], ["blocks.77.bn1"], [""], ["head"], "x", [1], None],
    "merged": [[["blocks.0.0", "blocks.0.1"]], [["", ""]], [["head", "head"]], [[1, 2]], "x", [[]]],
    "files": [{}, {"/etc/passwd": "0"}, {"../x.safetensors": "0"}, {"x.pkl": "0"}, [], None, 3],
    "format": [0, 1, 99, "3", None, 10**30, [], True],
    "parents": [None, "x", [1], [{"stage": 1}], {}],
    "trained": ["x", ["y"], None],
    "loader_module": ["os"],
}  # fmt: skip

CHANGES: dict[str, Callable[[Path], object]] = {
    f"{place} = {value!r}"[:60]: spec(place, value)
    for place, values in SPEC_VALUES.items()
    for value in values
} | {
    "preprocessing: resized to 409,600 pixels": lambda a: (
        spec("preprocessing.image_size", 4096)(a),
        spec("preprocessing.crop_pct", 0.01)(a),
    ),
    "spec: empty": raw_spec(""),
    "spec: list": raw_spec("[]"),
    "spec: nested lists": raw_spec(lambda: "[" * 200_000),
    "spec: nested objects": raw_spec(lambda: '{"a":' * 100_000 + "1" + "}" * 100_000),
    "spec: 200,000 keys": raw_spec(lambda: json.dumps({f"key {n}": n for n in range(200_000)})),
    "spec: 200,000 keys in the head": lambda a: spec(
        "head", {f"key {n}": n for n in range(200_000)}
    )(a),
    "spec: large": raw_spec(lambda: '{"a": "' + "x" * 20_000_000 + '"}'),
    "spec: 400 digits": raw_spec('{"format": ' + "9" * 4000 + "}"),
    "spec: binary": lambda a: (data(a) / SPEC).write_bytes(bytes(range(256))),
    "spec: NaN": raw_spec('{"format": NaN}'),
    "weights: NaN": tensors(WEIGHTS, lambda s: _first(s, float("nan"))),
    "weights: infinite": tensors(WEIGHTS, lambda s: _first(s, float("inf"))),
    "weights: integers": tensors(WEIGHTS, lambda s: _swap(s, _last(s), s[_last(s)].int())),
    "weights: all of integers": tensors(
        WEIGHTS, lambda s: s.update({key: tensor.int() for key, tensor in s.items()})
    ),
    "weights: complex": tensors(
        WEIGHTS, lambda s: _swap(s, _last(s), s[_last(s)].to(torch.cfloat))
    ),
    "weights: truth values": tensors(WEIGHTS, lambda s: _swap(s, _last(s), s[_last(s)] > 0)),
    "weights: another shape": tensors(WEIGHTS, lambda s: _swap(s, _last(s), torch.zeros(2, 2))),
    "weights: a row too few": tensors(WEIGHTS, lambda s: _swap(s, _last(s), s[_last(s)][:-1])),
    "weights: a scalar": tensors(WEIGHTS, lambda s: _swap(s, _last(s), torch.tensor(1.0))),
    "weights: beyond float32": tensors(
        WEIGHTS, lambda s: _swap(s, _last(s), s[_last(s)].double() * 1e300)
    ),
    "weights: one missing": tensors(WEIGHTS, lambda s: s.pop(_last(s))),
    "weights: one too many": tensors(WEIGHTS, lambda s: _swap(s, "extra", torch.zeros(3))),
    "weights: a block too many": tensors(
        WEIGHTS, lambda s: _swap(s, "blocks.99999.weight", torch.zeros(3))
    ),
    "weights: none": tensors(WEIGHTS, lambda s: s.clear()),
    "weights: empty": content(WEIGHTS, b""),
    "weights: short": content(WEIGHTS, b"1234567"),
    "weights: huge header": content(WEIGHTS, struct.pack("<Q", 2**63) + b"{}"),
    "weights: large header": lambda a: content(
        WEIGHTS, struct.pack("<Q", 50_000_000) + b"{" + b" " * 49_999_998 + b"}"
    )(a),
    "weights: garbage header": content(WEIGHTS, struct.pack("<Q", 4) + b"\xff\xff\xff\xff"),
    "weights: offsets beyond the file": content(
        WEIGHTS,
        struct.pack("<Q", 60)
        + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}'.ljust(60),
    ),
    "weights: shape that overflows": content(
        WEIGHTS,
        struct.pack("<Q", 90)
        + b'{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}'.ljust(90),
    ),
    "weights: cut": lambda a: content(WEIGHTS, (data(a) / WEIGHTS).read_bytes()[:-9])(a),
    "weights: gone": lambda a: (data(a) / WEIGHTS).unlink(),
    "statistics: NaN": tensors(STATISTICS, lambda s: _first(s, float("nan"))),
    "statistics: none": tensors(STATISTICS, lambda s: s.clear()),
    "statistics: one missing": tensors(STATISTICS, lambda s: s.pop(min(s))),
    "statistics: no deviation": tensors(
        STATISTICS, lambda s: s.pop(next(key for key in s if key.startswith("seen.std.")))
    ),
    "statistics: of another place": tensors(
        STATISTICS,
        lambda s: s.update({"seen.mean.x": torch.zeros(3), "seen.std.x": torch.zeros(3)}),
    ),
    "statistics: of fewer channels": tensors(
        STATISTICS, lambda s: s.update({key: tensor[:1].clone() for key, tensor in s.items()})
    ),
    "statistics: negative": tensors(
        STATISTICS, lambda s: [t.fill_(-1.0) for key, t in s.items() if ".std." in key]
    ),
    "statistics: integers": tensors(
        STATISTICS, lambda s: s.update({key: tensor.int() for key, tensor in s.items()})
    ),
    "statistics: odd names": tensors(STATISTICS, lambda s: _swap(s, "mean", torch.zeros(3))),
    "statistics: garbage": content(STATISTICS, b"garbage"),
    "statistics: empty": content(STATISTICS, b""),
    "statistics: gone": lambda a: (data(a) / STATISTICS).unlink(),
    "file: pickle": lambda a: (data(a) / "model.pkl").write_bytes(pickle.dumps(Marker(a / "ran"))),
    "file: pickle as weights": lambda a: content(WEIGHTS, pickle.dumps(Marker(a / "ran")))(a),
    "file: code": lambda a: (data(a) / "loader.py").write_text("import os"),
    "file: another safetensors": lambda a: content("other.safetensors", b"")(a),
    "file: folder": lambda a: (data(a) / "folder").mkdir(),
    "file: link": lambda a: (data(a) / "link").symlink_to("/etc/passwd"),
    "file: link loop": lambda a: (data(a) / "loop").symlink_to("loop"),
    "file: pipe": lambda a: os.mkfifo(data(a) / "pipe"),
    "file: pipe as weights": lambda a: _pipe(data(a) / WEIGHTS),
    "file: pipe as spec": lambda a: _pipe(data(a) / SPEC),
    "file: link as weights": lambda a: _link(data(a) / WEIGHTS),
    "file: folder as spec": lambda a: ((data(a) / SPEC).unlink(), (data(a) / SPEC).mkdir()),  # type: ignore[func-returns-value]
}


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")
