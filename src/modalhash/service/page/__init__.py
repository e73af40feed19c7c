"""The page that the service shows in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI


def add_page(app: FastAPI) -> None:
    """Add the routes of the page and its static files to the service."""
