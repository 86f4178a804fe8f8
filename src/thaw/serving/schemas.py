"""Requests and responses of the service, as OpenAPI describes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from thaw.data.base64_images import decode_base64

if TYPE_CHECKING:
    from pydantic.config import JsonDict

MAX_IMAGES = 32  # in one request
_BASE64: JsonDict = {
    "type": "string",
    "contentEncoding": "base64",
    "description": "An image file as base64",
}

Base64Image = Annotated[bytes, BeforeValidator(decode_base64), WithJsonSchema(_BASE64)]


class PredictRequest(BaseModel):
    """A JSON body: ``image`` with one image, or ``images`` with up to 32."""

    model_config = ConfigDict(
        json_schema_extra={
            "properties": {
                "image": _BASE64,
                "images": {"type": "array", "maxItems": MAX_IMAGES, "items": _BASE64},
            },
            "required": [],
            "oneOf": [{"required": ["image"]}, {"required": ["images"]}],
        }
    )

    image: Base64Image = b""
    images: Annotated[list[Base64Image], FailFast()] = []

    @model_validator(mode="before")
    @classmethod
    def _check_fields(cls, content: Any) -> dict[str, Any]:
        if not isinstance(content, dict) or len(content.keys() & {"image", "images"}) != 1:
            raise PydanticCustomError(
                "fields", "the JSON must have 'image': base64 or 'images': [base64, ...]"
            )
        if isinstance(images := content.get("images"), list):
            check_count(len(images))
        return content

    @property
    def is_one_image(self) -> bool:
        """Return whether the image is in the field ``image``, and not in a list."""
        return "image" in self.model_fields_set


def check_count(images: int) -> None:
    """Check the number of images in a request.

    Raises:
        PydanticCustomError: there is no image, or more than :data:`MAX_IMAGES`. It is a ValueError.
    """
    if not 1 <= images <= MAX_IMAGES:
        raise PydanticCustomError(
            "count", "{images} images: send 1 to {limit}", {"images": images, "limit": MAX_IMAGES}
        )


def explain(error: ValidationError) -> str:
    """Return one line that says why the JSON body was refused."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    reason = first["msg"].removeprefix("Value error, ")
    match first["type"], first["loc"]:
        case "json_invalid", _:
            return "the body is not JSON"
        case "list_type", _:
            return "'images' must be a list of base64"
        case _, ("images", place):
            return f"image {place}: {reason}"
    return reason


class Prediction(BaseModel):
    """The prediction for one image."""

    label: str = Field(description="The class with the highest probability")
    probability: float = Field(description="The probability of `label`, 0 to 1")
    probabilities: dict[str, float] = Field(description="The probability of each class, 0 to 1")


class PredictResponse(BaseModel):
    """Predictions in the order of the images, all by one model."""

    model: str = Field(description="models:/NAME/VERSION, or the folder of the model")
    digest: str = Field(description="SHA-256 of the model directory")
    predictions: list[Prediction]


class Health(BaseModel):
    """The state of the service, and the model that answers."""

    status: Literal["ok", "dead"]
    model: str = Field(description="models:/NAME/VERSION, or the folder of the model")
    digest: str = Field(description="SHA-256 of the model directory")
    classes: list[str]


class ErrorResponse(BaseModel):
    """The reason why a request was refused."""

    error: str
