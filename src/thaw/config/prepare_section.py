"""The section ``prepare`` of ``params.yaml``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, PlainValidator
from pydantic_core import PydanticCustomError

from thaw.config.parameter import parameter
from thaw.config.section import Section
from thaw.literals import JpegPixels, RangeRule

_SplitFraction = Annotated[float, Field(gt=0.0, lt=0.5)]
_LARGEST = 1e30  # of a sample value


def _sample_range(value: Any) -> Any:
    """Return ``type``, ``image`` or a pair of numbers.

    Raises:
        PydanticCustomError: ``value`` is something else.
    """
    if value in get_args(RangeRule):
        return value
    if isinstance(value, list | tuple) and len(value) == 2:
        numbers = all(type(each) in {int, float} and abs(each) <= _LARGEST for each in value)
        if numbers and value[0] < value[1]:
            return tuple(map(float, value))
    raise PydanticCustomError(
        "sample_range", "Give type, image, or [low, high] with two numbers, the smaller one first"
    )


SampleRange = Annotated[
    RangeRule | tuple[float, float],
    PlainValidator(_sample_range, json_schema_input_type=RangeRule | tuple[float, float]),
]


class Prepare(Section):
    """Checks, splits and packing of the images."""

    val_fraction: _SplitFraction = parameter(
        0.15,
        "Share of the images in the validation split, stratified by class. Not read where the "
        "source brings this split; where it brings others, a share of its training images.",
    )
    test_fraction: _SplitFraction = parameter(
        0.15,
        "Share of the images in the test split, stratified by class. Not read where the source "
        "brings this split; where it brings others, a share of its training images.",
    )
    short_side: Annotated[int, Field(ge=8, le=8192)] = parameter(
        256,
        "Larger images are stored with this short side; smaller ones as they are.",
        unit="pixels",
    )
    range: SampleRange = parameter(
        "type",
        "Range of values that becomes 0..255 in images of more than 8 bits per sample. type: 0 to "
        "65535, also for samples of 32 bits. image: smallest to largest value of each image. "
        "[low, high]: these values. Images with other values are refused. It is stored with the "
        "model.",
    )
    jpeg_pixels: JpegPixels = parameter(
        "reduced",
        "all: every pixel of a JPEG is decoded, as by an exported model. reduced: one with a short "
        "side of more than twice short_side is decoded at 1/2, 1/4 or 1/8 of its size, which is 2 "
        "to 7 times faster and changes probabilities a little. It is stored with the model.",
    )
    near_duplicates: Annotated[int, Field(ge=0, le=16)] = parameter(
        0,
        "Images whose 64-bit difference hashes differ in fewer than this many bits stay in one "
        "split; with 0 only images with equal pixels do.",
        unit="bits",
    )
    on_conflict: Literal["error", "drop"] = parameter(
        "error",
        "Images with equal pixels and different labels: error refuses them, drop leaves all copies "
        "out and lists them.",
    )
    on_similar_labels: Literal["error", "keep"] = parameter(
        "error",
        "Labels that differ in case, white space, invisible or similar characters only: error "
        "refuses them, keep takes each as a class.",
    )
    encoding: Literal["raw", "jpeg"] = parameter(
        "raw",
        "Encoding of the stored images: raw is fastest and takes 3 bytes per pixel; jpeg (quality "
        "95) takes about a tenth.",
    )
    shard_mb: Annotated[int, Field(ge=0, le=1_000_000)] = parameter(
        0,
        "Largest file of stored images; data/prepared/images.bin is then a folder of such files, "
        "which DVC stores and copies one by one. An image that is larger has a file of its own. 0: "
        "one file. It changes no result.",
        unit="MB",
    )
    max_megapixels: Annotated[float, Field(ge=0.001, le=178.0)] = parameter(
        100.0,
        "An image whose header states more pixels is refused without decoding it.",
        unit="megapixels",
        source="Pillow refuses more than 178 megapixels itself.",
    )
