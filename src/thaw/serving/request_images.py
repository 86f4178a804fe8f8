"""Read the images of a request: from a form, from JSON with base64, or from the body itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from thaw.errors import printable
from thaw.serving.schemas import MAX_IMAGES, PredictRequest, check_count, explain

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from fastapi import Request

    from thaw.serving.budget import Reservation
    from thaw.serving.settings import Settings

_ACCEPTED = (
    "a form with files (multipart/form-data), JSON with base64 texts in the list 'images' "
    "(application/json), or an image as the body (image/jpeg, image/png, ...)"
)


_NAME_LENGTH = 100  # a client may send a name of any length


class SentImage(NamedTuple):
    """An encoded image, and how an error names it: '' if the request has no other image."""

    content: bytes
    name: str = ""


async def read_images(
    request: Request, settings: Settings, held_bytes: Reservation
) -> list[SentImage]:
    """Return the encoded images of a request, in order.

    ``held_bytes`` grows by the bytes of the body while they arrive.

    Raises:
        HTTPException: 400 malformed, 408 too slow, 413 too large, 415 unknown type or encoding.
        BudgetExceededError: the bodies of all requests take too many bytes.
    """
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise HTTPException(415, f"the Content-Encoding is {encoding[:40]}: send the body as it is")
    body = await _read_body(request, settings, held_bytes)
    if content_type == "multipart/form-data":
        images = await _images_of_form(request, body)
    elif content_type == "application/json":
        images = _images_of_json(body)
    elif content_type.startswith("image/") or content_type == "application/octet-stream":
        images = [SentImage(body)]
    else:
        sent = content_type or "missing"
        raise HTTPException(415, f"the Content-Type is {sent}: send {_ACCEPTED}")
    try:
        check_count(len(images))
    except ValueError as error:
        raise HTTPException(400, str(error)) from None
    return images


async def _read_body(request: Request, settings: Settings, held_bytes: Reservation) -> bytes:
    """Read the body; refuse one that is too large by its header, or as soon as it has arrived."""
    limit, timeout = settings.max_request_bytes, settings.timeout
    too_large = HTTPException(413, f"the request is larger than {limit / 1e6:g} MB")
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > limit:
        raise too_large
    parts, length = [], 0
    try:
        async with asyncio.timeout(timeout):
            async for part in request.stream():
                length += len(part)
                if length > limit:
                    raise too_large
                held_bytes.grow(len(part))
                parts.append(part)
    except TimeoutError:
        raise HTTPException(408, f"the request took longer than {timeout:g} s") from None
    return b"".join(parts)


async def _images_of_form(request: Request, body: bytes) -> list[SentImage]:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(request.headers, stream(), max_files=MAX_IMAGES, max_fields=8)
    parser.spool_max_size = len(body) + 1  # the body is in memory already: use no temporary file
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, UnicodeDecodeError, ValueError) as error:
        reason = getattr(error, "message", "malformed form")
        raise HTTPException(400, str(reason)) from None
    files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    if not files:
        raise HTTPException(
            400, "the form has no whole file: send each image as a part with a filename"
        )
    names = _names_of_files([file.filename or "" for file in files])
    return [SentImage(await file.read(), name) for file, name in zip(files, names, strict=True)]


def _names_of_files(filenames: list[str]) -> list[str]:
    """Return the name of each file; its position, from 0, where that name is not unique."""
    return [
        printable(name[:_NAME_LENGTH]) if name and filenames.count(name) == 1 else f"image {place}"
        for place, name in enumerate(filenames)
    ]


def _images_of_json(body: bytes) -> list[SentImage]:
    try:
        sent = PredictRequest.model_validate_json(body)
    except ValidationError as error:
        raise HTTPException(400, explain(error)) from None
    if sent.is_one_image:
        return [SentImage(sent.image)]
    return [SentImage(content, f"image {place}") for place, content in enumerate(sent.images)]
