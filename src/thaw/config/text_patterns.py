"""The forms of texts in ``params.yaml``: patterns, and the words for them in a message."""

from __future__ import annotations

WITHOUT_ZERO = r"^[^\x00]*$"
NETWORK_NAME = r"^\w[\w./-]*$"
# MLflow keeps 256 characters. A name of dots or spaces alone would be no path in its addresses.
MODEL_NAME = r"^[.-]*\w([\w .-]*[\w.-])?$"
EXPERIMENT_NAME = r"^[.@/-]*\w([\w .@/-]*[\w.@/-])?$"
PUBLIC_KEY = r"^ed25519:[A-Za-z0-9+/]{43}=$"

_INNER = "at least one letter or digit, and no space at its beginning or end"
_NAME = "should be a name of letters, digits, spaces"
MODEL_NAME_WORDS = f"{_NAME}, '_', '.' and '-', with {_INNER}"
WORDS = {
    WITHOUT_ZERO: "should be a text without zero bytes",
    NETWORK_NAME: "should be a name of letters, digits, '_', '.', '/' and '-', which begins with a "
    "letter, a digit or '_'",
    MODEL_NAME: MODEL_NAME_WORDS,
    EXPERIMENT_NAME: f"{_NAME}, '_', '.', '@', '/' and '-', with {_INNER}",
    PUBLIC_KEY: "should be a public key of `thaw signing-key`: ed25519: and 44 characters",
}
