"""The sections ``data`` and ``augment`` of ``params.yaml``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from thaw.config.parameter import parameter
from thaw.config.section import AUTO, Fraction, Probability, Section, Text
from thaw.config.source_names import SourceName
from thaw.errors import ThawError

LayoutKind = Literal["class", "split/class", "class/split"]
_Alpha = Annotated[float, Field(ge=0.0, le=100.0)]
DEFAULT_CROP, DEFAULT_FLIP = 0.45, 0.5  # defaults of the section augment
_UNDECIDED = (
    "the stage unfreeze chooses it; `thaw advise --apply` writes the choice into params.yaml"
)


class Data(Section):
    """Source of the labelled images."""

    source: SourceName = parameter(
        "folder",
        "Image source: a folder per class, a CSV file, tar shards of the webdataset format, the "
        "built-in digits, or a public data set of torchvision (torchvision:OxfordIIITPet) or of "
        "the Hugging Face Hub (hf:NAME; hf:. for one in data.path, which is not downloaded).",
    )
    path: Text = parameter(
        "data/raw",
        "With folder: a folder per class, or the folders train, val and test with a folder per "
        "class in each. With csv: a file with the columns path,label[,split]. With webdataset: a "
        "folder with .tar files, or a text file that lists them, with braces for several, here or "
        "on an object store (s3://bucket/train-{000..009}.tar). With a public data set: the "
        "folder that has its files, or gets them. Digits: not read.",
    )
    layout: Literal["auto", LayoutKind] = parameter(
        "auto",
        "With folder: what the folders are. class: a folder per class, with all images below; "
        "split/class: folders of splits with a folder per class in each; class/split: the reverse. "
        "auto decides by names and structure, and refuses what is not clear.",
    )
    root: Text = parameter(
        "data/raw", "With csv: the folder that the paths in the file are relative to."
    )
    label_field: Text = parameter(
        "cls",
        "With webdataset: the field of a sample with its label: cls, txt, or json.KEY.",
    )
    split_field: str = parameter(
        "",
        "With webdataset: the field of a sample with its split, such as json.split. Empty: the "
        "names of the shards tell the split, if they name one.",
    )
    follow_links: bool = parameter(
        default=False,
        description="Whether links to files outside of the data folder, and to folders inside of "
        "class folders, are followed. Links of DVC into its cache always are.",
    )
    on_error: Literal["fail", "quarantine"] = parameter(
        "fail",
        "Files that cannot be used: fail refuses the data, quarantine leaves them out and lists "
        "each with its reason in the report and in the manifest.",
    )
    max_bad_fraction: Probability = parameter(
        0.1, "With quarantine: the data is refused if a larger share of the files is bad."
    )


class Augment(Section):
    """Random changes of a training image, drawn from (seed, epoch, image id)."""

    crop: Fraction | Literal["auto"] = parameter(
        DEFAULT_CROP,
        "Largest share of the area that a random crop removes; the window is resized to the input "
        "size. 0 turns it off. auto takes the largest of a few that the fitted head tolerates.",
        source="Szegedy et al. 2015; 0.45 suits fine-tuning of similar data (docs/method.md).",
    )
    flip: Probability | Literal["auto"] = parameter(
        DEFAULT_FLIP,
        "Probability of a left-right flip. Use 0 where mirrored images have another meaning. auto "
        "is 0 where the fitted head recognises mirrored validation images worse.",
        source="Krizhevsky et al. 2012",
    )
    rotate: Annotated[float, Field(ge=0.0, le=180.0)] = parameter(
        0.0, "Largest rotation in either direction.", unit="degrees"
    )
    shift: Fraction = parameter(0.0, "Largest shift in either direction.", unit="share of the side")
    zoom: Fraction = parameter(0.0, "Largest zoom in either direction.", unit="share of the scale")
    brightness: Fraction = parameter(
        0.0, "Largest change of brightness in either direction.", unit="share of the range"
    )
    contrast: Fraction = parameter(
        0.0, "Largest change of contrast in either direction.", unit="share of the contrast"
    )
    saturation: Fraction = parameter(
        0.0, "Largest change of saturation in either direction.", unit="share of the saturation"
    )
    hue: Annotated[float, Field(ge=0.0, le=0.5)] = parameter(
        0.0, "Largest turn of the hue in either direction.", unit="share of the colour circle"
    )
    tint: Fraction = parameter(
        0.0,
        "Largest change of contrast and brightness of each colour channel on its own; it colours "
        "grey pixels, too.",
        unit="share of the range",
        source="after the channel shifts of Krizhevsky et al. 2012",
    )
    randaugment: Annotated[int, Field(ge=0, le=20)] = parameter(
        0, "RandAugment operations per image; 2 is usual.", source="Cubuk et al. 2020"
    )
    randaugment_magnitude: Annotated[int, Field(ge=0, le=30)] = parameter(
        9, "Magnitude of the RandAugment operations.", source="Cubuk et al. 2020"
    )
    noise: Annotated[float, Field(ge=0.0, le=10.0)] = parameter(
        0.0,
        "Standard deviation of Gaussian noise; pixel values have the range 1.",
        source="Bishop 1995",
    )
    mixup: _Alpha = parameter(
        0.0,
        "Alpha of the Beta distribution of the mixing shares; 0.2 is usual, 0 turns it off.",
        source="Zhang et al. 2018",
    )
    cutmix: _Alpha = parameter(
        0.0,
        "The same for rectangles. Where mixup is on as well, each image draws one of the two.",
        source="Yun et al. 2019",
    )

    def fixed(self) -> FixedAugment:
        """Return the section as one without ``auto``.

        Raises:
            ThawError: a value is ``auto``.
        """
        for key in ("crop", "flip"):
            if getattr(self, key) == AUTO:
                raise ThawError(f"params.yaml: augment.{key} is auto: {_UNDECIDED}")
        return FixedAugment.model_validate(self.model_dump())

    def assumed(self) -> FixedAugment:
        """Return the section with the default in place of each ``auto``."""
        values = self.model_dump()
        for key, default in (("crop", DEFAULT_CROP), ("flip", DEFAULT_FLIP)):
            if values[key] == AUTO:
                values[key] = default
        return FixedAugment.model_validate(values)


class FixedAugment(Augment):
    """The section ``augment`` without ``auto``."""

    crop: Fraction = DEFAULT_CROP
    flip: Probability = DEFAULT_FLIP

    @classmethod
    def only(cls, **changes: float) -> FixedAugment:
        """Return the section with ``changes`` alone; everything else is off."""
        return cls.model_validate({**dict.fromkeys(cls.model_fields, 0), **changes})

    @property
    def active(self) -> bool:
        """Return whether any image is changed at all."""
        values = self.model_dump(exclude={"randaugment_magnitude"})
        return any(value > 0 for value in values.values())
