"""Labels of files of odd sizes in every way that a model is used: `make bench TARGETS=labels`.

For each framing, a head is fitted on photographs and drawings (the set *stamps*), and the files are
its test split. The labels that `evaluate` writes are compared with those of `thaw predict`, of
`thaw serve`, and of files that `thaw export` wrote for ONNX Runtime and torch.export, which get
upright pixels in the size of the file; and with those of the program for ONNX Runtime in
docs/serving.md, which reads the files without thaw.
"""

from __future__ import annotations

import csv
import http.client
import io
import json
import shutil
import subprocess
import tempfile
from contextlib import chdir, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from PIL import Image
from rich.console import Console

from benchmarks.datasets.stamps import dataset
from benchmarks.result_tables import markdown
from benchmarks.serving_throughput import running
from tests.docs.commands import python_of
from tests.project import ROOT, Project, environment
from thaw.model.predictor import Predictor
from thaw.serving.export_formats import PACKAGES, load_exported

if TYPE_CHECKING:
    from collections.abc import Callable

FRAMINGS = ("crop", "pad", "squish")
_MODEL = Path("models/fold_bn/merged")
_MOST_PIXELS = 1_500_000
_PARAMS = {
    "backbone__crop_pct": 1.0,
    "warmup_head__fit": "logistic",
    "unfreeze__depth": 0,
    "unfreeze__epochs": 0,
    "fold_bn__epochs": 0,
    "launch__threads": 1,
}

Labels = dict[str, tuple[str, float]]  # by file: the label and its probability


def main(
    images: Annotated[int, typer.Option(help="Files of odd sizes.")] = 1000,
    framings: Annotated[str, typer.Option(help="By commas.")] = ",".join(FRAMINGS),
    size: Annotated[int, typer.Option(help="Side of the input, in pixels.")] = 128,
) -> None:
    """Print the number of labels that differ from those of the stage evaluate."""
    console = Console(width=110)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "images"
        write_data(data, images)
        for framing in framings.split(","):
            project = trained(Path(folder) / framing, data, framing, size)
            trusted = evaluated(project)
            for way, read in WAYS.items():
                found = read(project, data / "test")
                rows.append([framing, way, *compared(trusted, found)])
                console.print(*rows[-1])
    markdown(["framing", "way", "files", "changed labels", "largest change"], rows, console)


def write_data(folder: Path, images: int) -> None:
    """Write training and validation images of the set stamps, and odd files as the test split."""
    source = dataset(0)
    for split in ("train", "val"):
        shutil.copytree(source / split, folder / split)
    by_label = [
        sorted(source.glob(f"*/{label.name}/*.png")) for label in (source / "train").iterdir()
    ]
    for number in range(images):
        paths = by_label[number % len(by_label)]
        path = paths[number // len(by_label) % len(paths)]
        content, ending = odd_file(Image.open(path), number)
        place = folder / "test" / path.parent.name / f"{number:04d}.{ending}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def odd_file(image: Image.Image, number: int) -> tuple[bytes, str]:
    """Return ``image`` in an odd size, mode and file format, which follow from ``number``.

    Sides are 8 to 2,000 pixels, the longer one at most 50 times the shorter one. A little noise
    makes all of them different. Modes with alpha have all degrees of it, and half of the palettes
    have a transparent colour.
    """
    generator = np.random.default_rng(number)
    while True:
        width, height = np.exp(generator.uniform(np.log(8), np.log(2000), 2)).astype(int).tolist()
        is_small = width * height <= _MOST_PIXELS
        if is_small and max(width, height) <= 50 * min(width, height):
            break
    pixels = np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC))
    noisy = pixels + generator.integers(-20, 21, pixels.shape)
    resized = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    mode, form, ending = _FORMS[number % len(_FORMS)]
    converted = _in_mode(resized, mode, generator)
    options: dict[str, Any] = {}
    if mode == "P" and generator.integers(2):
        options["transparency"] = int(np.bincount(np.asarray(converted).ravel()).argmax())
    exif = Image.Exif()
    if form in {"JPEG", "PNG", "WEBP"}:
        exif[0x0112] = int(generator.integers(1, 9))  # orientation
    buffer = io.BytesIO()
    converted.save(buffer, form, exif=exif, **options)
    return buffer.getvalue(), ending


def _in_mode(image: Image.Image, mode: str, generator: np.random.Generator) -> Image.Image:
    """Return ``image`` in ``mode``; where it has alpha, with a smooth one of 0 to 255."""
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    converted = image.convert(mode)
    if mode in {"RGBA", "LA"}:
        corners = Image.fromarray(generator.integers(0, 256, (4, 4), dtype=np.uint8))
        converted.putalpha(corners.resize(image.size, Image.Resampling.BICUBIC))
    return converted


_FORMS = (
    ("RGB", "JPEG", "jpg"), ("RGB", "PNG", "png"), ("L", "JPEG", "jpg"), ("RGBA", "PNG", "png"),
    ("P", "PNG", "png"), ("RGB", "WEBP", "webp"), ("P", "GIF", "gif"), ("RGB", "BMP", "bmp"),
    ("RGB", "TIFF", "tif"), ("CMYK", "JPEG", "jpg"), ("LA", "PNG", "png"), ("1", "PNG", "png"),
    ("RGBA", "WEBP", "webp"), ("I;16", "PNG", "png"),
)  # fmt: skip


def trained(folder: Path, data: Path, framing: str, size: int) -> Path:
    """Return a project in which the pipeline has run, with the odd files as its test split."""
    subprocess.run(
        ["thaw", "init", str(folder), "--images", str(data)],
        env=environment(),
        check=True,
        capture_output=True,
    )
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    project = Project(folder)
    project.set(backbone__framing=framing, backbone__image_size=size, **_PARAMS)
    project.run("dvc", "repro")
    return folder


def evaluated(project: Path) -> Labels:
    """Return what the stage evaluate predicted."""
    with (project / "reports/evaluate/predictions.csv").open(newline="") as stream:
        return {
            _relative(row["path"]): (row["predicted"], float(row["probability"]))
            for row in csv.DictReader(stream)
        }


def _relative(path: str) -> str:
    return "/".join(path.split("/")[-2:])


def predicted(project: Path, files: Path) -> Labels:
    """Return the result of `thaw predict`."""
    out = project / "predicted.csv"
    _run(project, "thaw", "predict", str(_MODEL), str(files), "--out", str(out))
    with out.open(newline="") as stream:
        return {
            _relative(row["path"]): (row["label"], float(row["probability"]))
            for row in csv.DictReader(stream)
        }


def served(project: Path, files: Path) -> Labels:
    """Return the answers of `thaw serve`, one file a request."""
    found = {}
    with running(project / _MODEL, "torch") as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for path in _files(files):
            connection.request("POST", "/predict", path.read_bytes(), {"Content-Type": "image/*"})
            response = connection.getresponse()
            body = json.loads(response.read())
            if response.status != 200:
                raise SystemExit(f"error: {path}: {response.status} {body}")
            answer = body["predictions"][0]
            found[_relative(str(path))] = (answer["label"], float(answer["probability"]))
    return found


def exported(kind: str) -> Callable[[Path, Path], Labels]:
    """Return a function that exports the model and returns the labels of the file."""

    def read(project: Path, files: Path) -> Labels:
        out = project / f"model.{kind}"
        few = project / "few"
        few.mkdir(exist_ok=True)
        for path in _files(files)[:20]:  # the export compares these; here all are compared
            shutil.copy(path, few / path.name)
        _run(
            project, "thaw", "export", str(_MODEL), "--format", kind, "--out", str(out),
            "--images", str(few),
        )  # fmt: skip
        (format_name,) = [name for name in PACKAGES if name == kind]
        compute = load_exported(format_name, out.read_bytes(), 1)
        predictor = Predictor(project / _MODEL)
        found = {}
        for path in _files(files):
            probabilities = compute(predictor.reader.read_original(path.read_bytes()))[0]
            best = int(probabilities.argmax())
            found[_relative(str(path))] = (predictor.classes[best], float(probabilities[best]))
        return found

    return read


def documented(project: Path, files: Path) -> Labels:
    """Return the labels of the documented program, with the file of `thaw export`."""
    blocks = python_of(ROOT / "docs/serving.md")
    (program,) = [block for block in blocks if "onnxruntime" in block]
    paths = [path.resolve() for path in _files(files)]
    names: dict[str, Any] = {}
    with chdir(project), redirect_stdout(io.StringIO()):
        shutil.copy(paths[0], "photo.jpg")
        exec(program, names)
    found = {}
    for path in paths:
        (rows,) = names["session"].run(["probabilities"], {"images": names["read"](path)})
        best = int(rows[0].argmax())
        found[_relative(str(path))] = (names["classes"][best], float(rows[0][best]))
    return found


WAYS: dict[str, Callable[[Path, Path], Labels]] = {
    "thaw predict": predicted,
    "thaw serve": served,
    "thaw export --format onnx": exported("onnx"),
    "the program in docs/serving.md": documented,
    "thaw export --format torch-export": exported("torch-export"),
}


def compared(trusted: Labels, found: Labels) -> list[str]:
    """Return the number of files, of changed labels, and the largest change of a probability.

    Raises:
        SystemExit: a file is missing.
    """
    if missing := trusted.keys() ^ found.keys():
        raise SystemExit(f"error: {len(missing)} files are missing, such as {min(missing)}")
    changed = [name for name in trusted if trusted[name][0] != found[name][0]]
    moved = max(abs(trusted[name][1] - found[name][1]) for name in trusted)
    return [str(len(trusted)), str(len(changed)), f"{moved:.1g}"]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _run(folder: Path, *command: str) -> None:
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"error: {' '.join(command)}\n{done.stdout}{done.stderr[-3000:]}")


if __name__ == "__main__":
    typer.run(main)
