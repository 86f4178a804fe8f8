"""The images of a request: a form, JSON with base64, or the image itself as the body."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.requests import Request

MOST_IMAGES = 32
_FORMS = "a form with files, JSON ({'images': [base64, ...]}) or an image as the body"


class FullError(Exception):
    """As many bytes are inside as may be."""


@dataclass
class Room:
    """The bytes of all bodies that are inside, and how many may be."""

    most: int
    inside: int = 0


@dataclass
class Share:
    """A request's part of the room, until it leaves."""

    room: Room
    taken: int = 0

    def take(self, count: int) -> None:
        """Let ``count`` more bytes in.

        Raises:
            FullError: others take up the room.
        """
        if self.room.inside + count > self.room.most:
            raise FullError
        self.room.inside += count
        self.taken += count

    def leave(self) -> None:
        """Give back what was taken."""
        self.room.inside -= self.taken
        self.taken = 0


async def images_of(request: Request, max_bytes: int, timeout: float, share: Share) -> list[bytes]:
    """The encoded images, in order.

    Raises:
        HTTPException: 400 malformed, 408 too slow, 413 too large, 415 another content type.
        FullError: too many bytes of other requests are inside.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    body = await _whole(request, max_bytes, timeout, share)
    if kind == "multipart/form-data":
        images = await _form(request, body)
    elif kind == "application/json":
        images = _json(body)
    elif kind.startswith("image/") or kind == "application/octet-stream":
        images = [body]
    else:
        raise HTTPException(415, f"send {_FORMS}")
    if not 1 <= len(images) <= MOST_IMAGES:
        raise HTTPException(400, f"{len(images)} images: send 1 to {MOST_IMAGES}")
    return images


async def _whole(request: Request, max_bytes: int, timeout: float, share: Share) -> bytes:
    """The body; what is too large is refused by its header, or once that much has come."""
    too_large = HTTPException(413, f"the request is larger than {max_bytes / 1e6:g} MB")
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > max_bytes:
        raise too_large
    parts, length = [], 0
    try:
        async with asyncio.timeout(timeout):
            async for part in request.stream():
                length += len(part)
                if length > max_bytes:
                    raise too_large
                share.take(len(part))
                parts.append(part)
    except TimeoutError:
        raise HTTPException(408, f"the request took longer than {timeout:g} s") from None
    return b"".join(parts)


async def _form(request: Request, body: bytes) -> list[bytes]:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(request.headers, stream(), max_files=MOST_IMAGES, max_fields=8)
    parser.spool_max_size = len(body) + 1  # it is in memory already
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, UnicodeDecodeError, ValueError) as error:
        reason = getattr(error, "message", "malformed form")
        raise HTTPException(400, str(reason)) from None
    files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    return [await file.read() for file in files]


def _json(body: bytes) -> list[bytes]:
    try:
        content: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise HTTPException(400, "the body is not JSON") from None
    if not isinstance(content, dict) or len(content.keys() & {"image", "images"}) != 1:
        raise HTTPException(400, "the JSON must have 'image': base64 or 'images': [base64, ...]")
    images = [content["image"]] if "image" in content else content["images"]
    if not isinstance(images, list):
        raise HTTPException(400, "'images' must be a list of base64")
    return [_base64(place, text) for place, text in enumerate(images)]


def _base64(place: int, text: Any) -> bytes:
    try:
        # `base64 FILE` breaks its lines; anything else that is not of the alphabet is refused
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError, TypeError, AttributeError):
        raise HTTPException(400, f"image {place}: not base64") from None
