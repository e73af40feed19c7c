"""Keys: who may ask what.  Files hold hashes only; keys are random, so that a plain SHA-256 of them is enough."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from modalhash.service.names import check_name

SCOPES = ("read", "write", "admin")  # each may do what those before it may
PREFIX = "mh_"


@dataclass(frozen=True)
class Key:
    """One key by its name: what it may do, and the SHA-256 of its text."""

    name: str
    scope: str
    hash: str

    def may(self, scope: str) -> bool:
        """Whether the key's scope covers another."""
        return SCOPES.index(self.scope) >= SCOPES.index(scope)


class Keys:
    """The keys of a service."""

    def __init__(self, keys: list[Key]) -> None:
        self.keys = keys

    @classmethod
    def read(cls, path: Path) -> Keys:
        """Read a file that `add_key` wrote; FileNotFoundError or ValueError name it."""
        if not path.is_file():
            raise FileNotFoundError(f"--key-file: {path} is not a file; make one with `modalhash key`")
        try:
            content = json.loads(path.read_text(encoding="utf8"))
            keys = [_checked(Key(**entry)) for entry in content["keys"]]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(f"{path}: is no file of keys, or damaged") from None  # the cause may quote its content
        if not keys or len({key.name for key in keys}) < len(keys):
            raise ValueError(f"{path}: expected at least one key, and every name once")
        return cls(keys)

    def find(self, text: str) -> Key | None:
        """The key of this text; compared with every one in constant time."""
        given, found = hash_of(text), None
        for key in self.keys:
            if hmac.compare_digest(key.hash, given):
                found = key
        return found


def hash_of(text: str) -> str:
    """SHA-256 of a key's text, in hex."""
    return hashlib.sha256(text.encode("utf8", "surrogatepass")).hexdigest()


def add_key(path: Path, name: str, scope: str) -> str:
    """Make a key, add its hash to a file that only its owner can read, and return its text, which is kept nowhere."""
    check_name("name", name)
    if scope not in SCOPES:
        raise ValueError(f"scope: expected one of {', '.join(SCOPES)}, got {scope!r}")
    keys = Keys.read(path).keys if path.exists() else []
    if any(key.name == name for key in keys):
        raise ValueError(f"{path}: has a key {name!r} already; names are given once")
    text = PREFIX + secrets.token_urlsafe(32)
    content = {"format": 1, "keys": [asdict(key) for key in [*keys, Key(name, scope, hash_of(text))]]}
    temporary = path.with_name(f".{path.name}-new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf8") as file:
        json.dump(content, file, indent=1)
    temporary.replace(path)
    return text


def _checked(key: Key) -> Key:
    check_name("name", key.name)
    if key.scope not in SCOPES or len(key.hash) != 64 or not set(key.hash) <= set("0123456789abcdef"):
        raise ValueError
    return key
