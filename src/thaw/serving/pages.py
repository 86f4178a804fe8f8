"""The pages for people: one to try the model, and the documentation of the API.

Browsers load no file from other hosts: the files of Swagger UI come from the package
``fastapi-offline``.
"""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

if TYPE_CHECKING:
    from fastapi import FastAPI

SWAGGER_FILES = "/docs/files"
# Colours of Swagger UI with too little contrast, and its list of servers, which has this one only
# and no name for a screen reader.
_SWAGGER_STYLE = (
    ".swagger-ui .info .title small.version-stamp{background:#3f6212}"
    ".swagger-ui .info .url{color:#1d4ed8}"
    ".swagger-ui .opblock.opblock-get .opblock-summary-method{background:#1d4ed8}"
    ".swagger-ui .opblock.opblock-post .opblock-summary-method{background:#166534}"
    ".swagger-ui .json-schema-2020-12-expand-deep-button{color:#404040}"
    ".swagger-ui .btn.cancel{color:#b91c1c;border-color:#b91c1c}"
    ".swagger-ui .btn.execute{background:#1d4ed8;border-color:#1d4ed8}"
    ".swagger-ui .download-contents{background:#4b5563}"
    ".swagger-ui .microlight [style*='rgb(136, 136, 136)']{color:#d1d5db!important}"
    ".swagger-ui .scheme-container{display:none}"
)
# Names that Swagger UI does not give to what its form "Try it out" makes, and the way to scroll its
# long answers by keyboard.
_SWAGGER_SCRIPT = """
const complete = () => {
  const all = (selector, change) => document.querySelectorAll(selector).forEach(change);
  all("textarea:not([aria-label])", field => field.setAttribute("aria-label", "Request body"));
  all(".copy-to-clipboard button:not([aria-label])", b => b.setAttribute("aria-label", "Copy"));
  all("pre.microlight:not([tabindex])", text => text.setAttribute("tabindex", "0"));
};
new MutationObserver(complete).observe(document.documentElement, {childList: true, subtree: true});
"""


def add_pages(app: FastAPI) -> None:
    """Add ``/`` and ``/docs`` to ``app``; its OpenAPI schema is at ``/openapi.json``."""
    index = files("thaw.serving").joinpath("page.html").read_text(encoding="utf-8")
    with as_file(files("fastapi_offline").joinpath("static")) as folder:
        app.mount(SWAGGER_FILES, StaticFiles(directory=folder))
    _add_page(app, "/", index, _hashes_of(index, "style"))
    # Swagger UI sets style attributes, which only 'unsafe-inline' allows. It allows no script.
    _add_page(app, "/docs", _swagger_html(app.title), "'self' 'unsafe-inline'", "'self'")


def _add_page(app: FastAPI, path: str, page: str, styles: str, scripts: str = "") -> None:
    """Serve ``page``, with a policy that lets a browser run only the page's own scripts."""
    policy = (
        f"default-src 'none'; script-src {scripts} {_hashes_of(page, 'script')}; "
        f"style-src {styles}; img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
    response = HTMLResponse(page, headers={"Content-Security-Policy": policy})

    async def show() -> HTMLResponse:
        return response

    app.add_api_route(path, show, include_in_schema=False)


def _swagger_html(title: str) -> str:
    relative = SWAGGER_FILES.removeprefix("/")  # so that it works behind a proxy with a path
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title=title,
        swagger_js_url=f"{relative}/swagger-ui-bundle.js",
        swagger_css_url=f"{relative}/swagger-ui.css",
        swagger_favicon_url="data:,",
        # A link in the button of an endpoint is out of reach for a screen reader.
        swagger_ui_parameters={"deepLinking": False},
    )
    text = bytes(page.body).decode().replace("<html>", '<html lang="en">', 1)
    own = f"<style>{_SWAGGER_STYLE}</style><script>{_SWAGGER_SCRIPT}</script>"
    return text.replace("</head>", f"{own}</head>", 1)


def _hashes_of(page: str, tag: str) -> str:
    """Return the hashes of the page's inline ``tag``s, as a Content-Security-Policy names them."""
    contents = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    digests = (hashlib.sha256(content.encode()).digest() for content in contents)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
