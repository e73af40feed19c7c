"""Reading of HTML in tests: tags that balance, what is loaded, and the text."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Parses HTML; fails where a tag closes that is not the last opened."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def check_loads_nothing(self) -> None:
        for tag, attributes in self.tags:
            assert tag not in ("script", "link", "iframe", "object", "base"), tag
            for name, value in attributes.items():
                assert not name.startswith("on"), name
                if name in ("src", "srcset", "href", "poster"):
                    assert (value or "").startswith("data:image/"), value
