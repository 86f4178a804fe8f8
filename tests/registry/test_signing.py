from __future__ import annotations

import stat
import subprocess
from typing import TYPE_CHECKING

import pytest
from pydantic import TypeAdapter, ValidationError

from thaw.config.promotion_sections import PublicKey
from thaw.errors import ThawError
from thaw.registry.signing import (
    KEY_FILE,
    KEY_TEXT,
    configured_signer,
    create_key,
    is_signature,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_a_signature_is_that_of_one_key_and_one_digest(tmp_path: Path) -> None:
    mine, other = create_key(tmp_path / "mine"), create_key(tmp_path / "other")
    signature = mine.sign("d" * 64)
    assert is_signature(mine.public, "d" * 64, signature)
    assert not is_signature(mine.public, "e" * 64, signature)
    assert not is_signature(other.public, "d" * 64, signature)


@pytest.mark.parametrize(
    ("public", "signature"),
    [("", ""), ("ed25519:", "x"), ("ed25519:AAAA", "AAAA"), ("ed25519:ü", "ü"), ("x" * 9, "=")],
)
def test_text_that_is_no_key_or_signature_is_no_signature(public: str, signature: str) -> None:
    assert not is_signature(public, "d", signature)
    with pytest.raises(ValidationError):
        TypeAdapter(PublicKey).validate_python(public)


def test_a_new_key_is_readable_by_its_owner_only_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key"
    made = create_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert TypeAdapter(PublicKey).validate_python(made.public) == made.public
    with pytest.raises(ThawError, match="a key is never overwritten"):
        create_key(path)
    with pytest.raises(ThawError, match="cannot be written: No such file"):
        create_key(tmp_path / "missing" / "key")


def test_the_environment_names_the_key_by_its_file_or_its_text(tmp_path: Path) -> None:
    path = tmp_path / "key"
    public = create_key(path).public
    assert configured_signer({}) is None
    for variables in ({KEY_FILE: str(path)}, {KEY_TEXT: path.read_text()}):
        found = configured_signer(variables)
        assert found is not None
        assert found.public == public


def test_a_key_made_by_openssl_signs(tmp_path: Path) -> None:
    path = tmp_path / "key"
    command = ["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    found = configured_signer({KEY_FILE: str(path)})
    assert found is not None
    assert is_signature(found.public, "d", found.sign("d"))


def test_a_file_that_is_no_key_is_named_with_the_command_that_makes_one(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("secret")
    rsa = tmp_path / "rsa"
    subprocess.run(["openssl", "genrsa", "-out", str(rsa), "2048"], check=True, capture_output=True)
    for path in (tmp_path / "text", rsa):
        with pytest.raises(ThawError, match=r"not an Ed25519 key .*`thaw signing-key FILE`"):
            configured_signer({KEY_FILE: str(path)})
    with pytest.raises(ThawError, match="cannot be read: No such file"):
        configured_signer({KEY_FILE: str(tmp_path / "gone")})
    with pytest.raises(ThawError) as refused:
        configured_signer({KEY_TEXT: "secret words"})
    assert "secret words" not in str(refused.value)
