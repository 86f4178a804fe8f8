"""One line about a failure of the MLflow store: the reason, and what helps."""

from __future__ import annotations

import os
import re

from thaw.system.storage_errors import uncaught_failure
from thaw.tracking.retry_notice import PATH_OF_FILES

_ADDRESS = "tracking.uri or MLFLOW_TRACKING_URI"
_ACCOUNT = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
_AUTHORITY = (
    "or set MLFLOW_TRACKING_SERVER_CERT_PATH to the file with the certificate of the authority "
    "that the server's certificate is from"
)
_OTHER_SERVER = f"correct the address ({_ADDRESS}), or the proxy in front of the server"
REGISTRY_URI = "MLFLOW_REGISTRY_URI"
_PATHS_OF_REGISTRY = ("/mlflow/registered-models", "/mlflow/model-versions")  # of requests
_NO_FILES = (
    "the server does not find the files in its store of artifacts (404): an administrator looks "
    "whether its bucket or folder exists (`--artifacts-destination`)"
)
_STORE_FAILS = (
    "the server fails to reach the files in its store of artifacts ({}): an administrator looks "
    "whether that store (`--artifacts-destination`, an S3 server for example) runs; then run the "
    "same command again"
)
# What an account needs, by the path of the request that the server refused.
_PERMISSIONS = dict.fromkeys(_PATHS_OF_REGISTRY, " EDIT on the registered model") | dict.fromkeys(
    ("/mlflow/runs", "/mlflow/experiments", "/mlflow/logged-models", PATH_OF_FILES),
    " EDIT on the experiment",
)
_LATER = "look at its log, and run the same command later"
_LONGEST = 400  # characters of an unknown error
_CODE = re.compile(
    r"failed with error code (\d{3})|too many (\d{3}) error responses|"
    r"^(\d{3}) (?:Client|Server) Error"
)
_UNKNOWN_NAME = "Invalid Host header"  # MLflow's answer to a name that is not in --allowed-hosts
_CODES = {
    "401": f"the server refuses the account: set {_ACCOUNT} to one that it has",
    "403": f"the server refuses the request with 403: set {_ACCOUNT} to an account with the "
    "permission",
    "404": "the server has no MLflow at this address, it answers with 404: correct it "
    f"({_ADDRESS})",
    "429": "the server answers with 429, too many requests: run the same command later",
}
_CODES_IN_JSON = {
    "UNAUTHENTICATED": f"; set {_ACCOUNT} to an account of the server",
    "PERMISSION_DENIED": f"; set {_ACCOUNT} to an account with the permission",
    "ENDPOINT_NOT_FOUND": f"; correct the address ({_ADDRESS})",
}
NOT_MLFLOW = "its answers are not those of MLflow"
# Texts of MLflow, requests, urllib3 and protobuf; the first one that is found counts.
_SIGNS = (
    ("valid JSON format", f"{NOT_MLFLOW}: {_OTHER_SERVER}"),
    ("Failed to parse", f"{NOT_MLFLOW}: {_OTHER_SERVER}"),
    (NOT_MLFLOW, f"{NOT_MLFLOW}: {_OTHER_SERVER}"),
    ("Exceeded 30 redirects", f"it redirects in a circle: {_OTHER_SERVER}"),
    ("IncompleteRead", f"the connection ended inside of an answer: {_LATER}"),
    ("InvalidChunkLength", f"the connection ended inside of an answer: {_LATER}"),
    ("RemoteDisconnected", f"it closes the connection without an answer: {_LATER}"),
    ("Connection reset", f"it closes the connection without an answer: {_LATER}"),
    ("BadStatusLine", f"it does not answer by HTTP: correct the address ({_ADDRESS})"),
    ("failed to decode it", f"its answer is damaged: {_OTHER_SERVER}"),
)
_TLS = re.compile(r"SSLError\(.*?(\[SSL[^\]]*\][^(]*|certificate verify failed[^(]*)")
_SYSTEM = re.compile(r"\[Errno -?\d+\] ([^'\")]+)|(Read timed out|timed out)")


def failure_of(error: BaseException, uri: str, what: str = "cannot be used") -> str:
    """Return one line about ``error`` of the store at ``uri``: its address, the reason, the remedy.

    ``what`` is said of the store. Registered models may be on another server, which is named then.
    """
    address = failed_address(error, uri)
    if address == uri:
        return f"the MLflow store {uri} {what}: {reason_of(error)}"
    reason = reason_of(error).replace(_ADDRESS, REGISTRY_URI)
    return f"the MLflow registry {address} ({REGISTRY_URI}) {what}: {reason}"


def failed_address(error: BaseException, uri: str) -> str:
    """Return the address of the registry if ``error`` is of a request to it, else ``uri``."""
    registry = os.environ.get(REGISTRY_URI, "")
    text = str(error)
    is_of_registry = any(path in text for path in _PATHS_OF_REGISTRY)
    return registry if registry and is_of_registry else uri


def reason_of(error: BaseException) -> str:
    """Return one line: the reason, and what helps.

    Of a connection that failed, the reason is that of the system, such as "Connection refused": the
    text of the error names the address of the request several times.
    """
    if failure := uncaught_failure(error):
        return failure
    line = str(error).splitlines()[0] if str(error) else type(error).__name__
    if _UNKNOWN_NAME in line:
        return (
            "the server does not serve this host name (403): add the host to its --allowed-hosts, "
            f"or correct the address ({_ADDRESS})"
        )
    if found := _CODE.search(line):
        code = found[1] or found[2] or found[3]
        if code == "404" and PATH_OF_FILES in line:
            return _NO_FILES
        if code == "500" and PATH_OF_FILES in line:  # 502 to 504 are answers of a proxy
            return _STORE_FAILS.format(code)
        return _of_code(code) + _permission(line, code)
    name = getattr(error, "error_code", "")
    if name in _CODES_IN_JSON:
        return line[:_LONGEST] + _CODES_IN_JSON[name]
    if found := _TLS.search(line):
        return f"TLS fails ({found[1].strip()}): correct the address ({_ADDRESS}), {_AUTHORITY}"
    if explained := next((text for sign, text in _SIGNS if sign in line), None):
        return explained
    is_request = "Max retries exceeded" in line or line.startswith("API request to")
    found = _SYSTEM.search(line) if is_request else None
    if found is None:
        return line[:_LONGEST]
    reason = found[1] or "it does not answer in time"
    return f"{reason} (start it, or correct {_ADDRESS})"


def _permission(line: str, code: str) -> str:
    """Return the permission that a refused request needs, as the end of the reason."""
    paths = (path for path in _PERMISSIONS if code == "403" and path in line)
    return next((_PERMISSIONS[path] for path in paths), "")


def _of_code(code: str) -> str:
    if code in _CODES:
        return _CODES[code]
    if code.startswith("3"):
        return f"it redirects to no address ({code}): {_OTHER_SERVER}"
    return f"the server answers with the error {code}: {_LATER}"
