"""Errors of the service: one exception, and the problem document (RFC 9457) that it becomes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Response

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """A refusal: the status, one sentence that says why, and headers to send with it."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})

    def document(self) -> dict[str, Any]:
        """The problem document."""
        title = HTTPStatus(self.status).phrase
        return {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail}

    def response(self) -> Response:
        """The answer to send."""
        content = json.dumps(self.document(), ensure_ascii=False).encode()
        return Response(content, self.status, headers=self.headers, media_type=MEDIA_TYPE)
