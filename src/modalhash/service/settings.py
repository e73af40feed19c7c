"""What a service is told when it starts: what to serve, where, who may ask, and how much at once."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class Limits(BaseModel):
    """The most that one request may hold; one more is refused with 413 or 422."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    body: int = Field(default=8 * 2**20, ge=1, description="bytes of a request as sent, and after decompression")
    k: int = Field(default=1_000, ge=1, description="results of one query")
    batch: int = Field(default=1_000, ge=1, description="items or queries of one request")
    ids: int = Field(default=10_000, ge=1, description="ids in `allow`")
    results: int = Field(default=100_000, ge=1, description="queries times k of one batch")
    text: int = Field(default=10_000, ge=1, description="letters of one text")
    pixels: int = Field(default=25_000_000, ge=1, description="pixels of one picture")
    depth: int = Field(default=12, ge=1, description="nesting of JSON")


class Settings(BaseModel):
    """Settings of one service; `collection` is a folder or `demo`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    collection: str
    recommender: Path | None = None
    report: Path | None = None  # folder of a report, whose plots the page shows
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    key_file: Path | None = None
    audit_file: Path | None = None
    snapshots: Path | None = None
    limits: Limits = Limits()
    rate: float = Field(default=50.0, ge=0, description="requests a second of one key; 0: no limit")
    burst: int = Field(default=100, ge=1, description="requests of one key at once")
    concurrency: int = Field(default=100, ge=1, description="requests in flight; more are answered with 429")
    connections: int = Field(default=1_000, ge=1, description="open connections")
    threads: int | None = Field(default=None, ge=1, description="searches at a time; the usable cores by default")
    header_seconds: float = Field(default=10.0, gt=0)
    body_seconds: float = Field(default=30.0, gt=0)
    stop_seconds: float = Field(default=20.0, gt=0, description="time for requests in flight after SIGTERM")
