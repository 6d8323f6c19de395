"""Pages of results: one self-contained HTML file each."""

from __future__ import annotations

import base64
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def page(template: str, **values: Any) -> bytes:
    """Return a page from a template of `validation/templates`; all its values must be given."""
    environment = Environment(
        loader=PackageLoader("validation"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template(template).render(values).encode()


def picture_url(png: bytes) -> str:
    """Return a picture as an address that holds all of it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
