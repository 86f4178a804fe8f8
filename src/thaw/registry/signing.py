"""Ed25519 signatures of the rows of a ledger.

Public keys are parameters of the project (``promote.public_keys``), so that every reader verifies
with the same ones. The private key is never in the project: ``THAW_LEDGER_KEY_FILE`` names its
file, or ``THAW_LEDGER_KEY`` holds its text (PEM, PKCS 8, without a password).

Source: RFC 8032 (Ed25519), through the package ``cryptography``.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from thaw.errors import ThawError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

KEY_FILE = "THAW_LEDGER_KEY_FILE"  # variable: the path of a private key
KEY_TEXT = "THAW_LEDGER_KEY"  # variable: the private key itself
PREFIX = "ed25519:"
_CONTEXT = b"thaw ledger row\n"  # a signature of anything else is no signature of a row


@dataclass(frozen=True)
class Signer:
    """A private key and its public key (``ed25519:BASE64``)."""

    private: Ed25519PrivateKey
    public: str

    def sign(self, digest: str) -> str:
        """Return the signature of ``digest`` as base64."""
        return base64.b64encode(self.private.sign(_CONTEXT + digest.encode())).decode()


def is_signature(public: str, digest: str, signature: str) -> bool:
    """Return whether ``signature`` is one of ``digest`` by the owner of the key ``public``."""
    try:
        raw = base64.b64decode(public.removeprefix(PREFIX), validate=True)
        key = Ed25519PublicKey.from_public_bytes(raw)
        key.verify(base64.b64decode(signature, validate=True), _CONTEXT + digest.encode())
    except (InvalidSignature, ValueError):
        return False
    return public.startswith(PREFIX)


def configured_signer(environment: Mapping[str, str] = os.environ) -> Signer | None:
    """Return the private key that the environment names, or None.

    Raises:
        ThawError: the file cannot be read, or is not an Ed25519 key.
    """
    text, path = environment.get(KEY_TEXT, ""), environment.get(KEY_FILE, "")
    if not text and not path:
        return None
    where = KEY_TEXT if text else f"{KEY_FILE}={path}"
    try:
        content = text.encode() if text else Path(path).read_bytes()
        private = load_pem_private_key(content, password=None)
    except OSError as error:
        raise ThawError(
            f"{where}: the key cannot be read: {error.strerror}: set {KEY_FILE} to the file of a "
            "key that this user may read"
        ) from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        private = None
    if not isinstance(private, Ed25519PrivateKey):
        raise ThawError(
            f"{where}: this is not an Ed25519 key in PEM without a password: "
            "`thaw signing-key FILE` makes one"
        )
    return _signer(private)


def required_signer(name: str, trusted: Collection[str]) -> Signer | None:
    """Return the key that signs new rows of the model ``name``, or None if none is configured.

    Raises:
        ThawError: rows must be signed by a key of ``trusted``, and there is no key, or another one.
    """
    signer = configured_signer()
    if trusted and signer is None:
        raise ThawError(
            f"{name}: promote.public_keys asks for signed decisions, and this process has no key: "
            f"set {KEY_FILE} to its file"
        )
    if trusted and signer is not None and signer.public not in trusted:
        raise ThawError(
            f"{name}: the key of this process, {signer.public}, is not one of "
            "promote.public_keys: add it there, or use another key"
        )
    return signer


def create_key(path: Path) -> Signer:
    """Write a new private key to ``path``, readable by its owner only; return it.

    Raises:
        ThawError: the file exists already, or cannot be written.
    """
    private = Ed25519PrivateKey.generate()
    content = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
    except FileExistsError:
        raise ThawError(
            f"{path} exists already: a key is never overwritten; give another path"
        ) from None
    except OSError as error:
        raise ThawError(
            f"{path}: the key cannot be written: {error.strerror}: give a path in a folder that "
            "exists, and that this user may write to"
        ) from None
    return _signer(private)


def _signer(private: Ed25519PrivateKey) -> Signer:
    raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return Signer(private, f"{PREFIX}{base64.b64encode(raw).decode()}")
