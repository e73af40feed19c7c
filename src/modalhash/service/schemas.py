"""What routes take and give, as pydantic models; limits come from the settings, by the context of validation."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationInfo

from modalhash.service.settings import Limits

NO_CONTROL = r"^[^\x00-\x1f\x7f]*$"
LARGEST = 1e18  # of a value in a view: its square fits float32
INT64 = 2**63


def at_most(name: str) -> AfterValidator:
    """A number or a length that a limit of the settings bounds."""

    def check(value: Any, info: ValidationInfo) -> Any:
        limits = info.context if isinstance(info.context, Limits) else Limits()
        most = getattr(limits, name)
        size = value if isinstance(value, int) else len(value)
        if size > most:
            raise ValueError(f"expected at most {most}" + ("" if isinstance(value, int) else f", got {size}"))
        return value

    return AfterValidator(check)


IntId = Annotated[StrictInt, Field(ge=-INT64, le=INT64 - 1)]
TextId = Annotated[StrictStr, Field(min_length=1, max_length=256, pattern=NO_CONTROL)]
Id = IntId | TextId
K = Annotated[StrictInt, Field(ge=1), at_most("k")]
Text = Annotated[StrictStr, at_most("text")]
ViewName = Annotated[StrictStr, Field(min_length=1, max_length=64)]
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False, strict=True)]
Vector = Annotated[list[Number], Field(min_length=1, max_length=100_000)]
Base64 = Annotated[StrictStr, Field(min_length=1, json_schema_extra={"contentEncoding": "base64"})]
Hex = Annotated[StrictStr, Field(pattern=r"^([0-9a-f]{2})+$", max_length=4096)]


class Model(BaseModel):
    """What every model here shares: unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Query(Model):
    """One query: words, a picture, vectors of views (any of them together), or a code that was made before."""

    text: Text | None = None
    image: Base64 | None = Field(default=None, description="JPEG, PNG or WebP in base64")
    views: dict[ViewName, Vector] | None = Field(default=None, max_length=32, description="view -> its vector")
    code: Hex | None = Field(default=None, description="a binary code in hex, as /encode gives it; alone")
    vector: Vector | None = Field(default=None, description="a query vector, where queries are vectors; alone")


class SearchRequest(Query):
    """A query, how many items to find, and perhaps among which."""

    k: K = 10
    allow: Annotated[list[Id], at_most("ids")] | None = Field(default=None, description="ids that may be found")


class BatchRequest(Model):
    """Several queries with one k and one filter."""

    queries: Annotated[list[Query], Field(min_length=1), at_most("batch")]
    k: K = 10
    allow: Annotated[list[Id], at_most("ids")] | None = None


class EncodeRequest(Model):
    """Queries or items to encode."""

    items: Annotated[list[Query], Field(min_length=1), at_most("batch")]
    role: Literal["item", "query"] = "item"


class ItemIn(Model):
    """An item to store: at least one of words, picture, views or its code; `image` is also what is shown of it."""

    id: Id
    title: Annotated[StrictStr, Field(max_length=1000)] | None = None
    text: Text | None = None
    image: Base64 | None = None
    views: dict[ViewName, Vector] | None = Field(default=None, max_length=32)
    code: Hex | None = None


class UpsertRequest(Model):
    """Items to store, all or none; one whose id is there is replaced."""

    items: Annotated[list[ItemIn], Field(min_length=1), at_most("batch")]


class IdsRequest(Model):
    """Ids of items."""

    ids: Annotated[list[Id], Field(min_length=1), at_most("batch")]


class RecommendRequest(Model):
    """Which user, how many items."""

    user: Id
    k: K = 10
    exclude_seen: bool = Field(default=True, strict=True, description="leave out what the user has rated")


class ExplainRequest(Model):
    """Which user, which item."""

    user: Id
    item: Id


class SnapshotRequest(Model):
    """The name of a snapshot."""

    name: Annotated[StrictStr, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


# answers


class Versions(BaseModel):
    """The library's version, the model's checksum, and how often the store was written to."""

    library: str
    model: str
    store: int


class Answer(BaseModel):
    """What every answer carries."""

    versions: Versions


class Hit(BaseModel):
    """A found item; small distances are near."""

    id: int | str
    title: str
    distance: float
    picture: str | None = Field(default=None, description="where its picture is")


class SearchAnswer(Answer):
    """Found items, nearest first; ties in order of insertion."""

    hits: list[Hit]


class BatchAnswer(Answer):
    """Found items of every query."""

    results: list[list[Hit]]


class EncodeAnswer(Answer):
    """Codes in hex, or query vectors where queries are vectors."""

    n_bits: int
    codes: list[str] | None = None
    vectors: list[list[float]] | None = None


class ItemOut(BaseModel):
    """A stored item."""

    id: int | str
    title: str
    code: str
    picture: str | None = None


class ItemAnswer(Answer):
    """One item."""

    item: ItemOut


class ItemsAnswer(Answer):
    """Items, and the ids that are not there."""

    items: list[ItemOut]
    absent: list[int | str]


class WriteAnswer(Answer):
    """How many items were written or removed; sent after they are kept."""

    count: int


class Recommended(BaseModel):
    """A recommended item."""

    id: int | str
    title: str | None
    distance: float


class RecommendAnswer(Answer):
    """Recommended items, nearest codes first."""

    user: int | str
    hits: list[Recommended]


class GroundOut(BaseModel):
    """One reason, its source and its part of the score; quoted: a sentence of a review, words: the user's own in it."""

    source: str
    text: str
    share: float
    quoted: bool
    words: list[str]
    title: str | None


class ExplainAnswer(Answer):
    """Why an item suits a user."""

    user: int | str
    item: int | str
    title: str | None
    score: float
    bits: list[int]
    n_bits: int
    in_words: str
    generated: str | None
    grounded: list[GroundOut]


class ReadyAnswer(Answer):
    """The collection is loaded."""

    status: Literal["ready"]
    items: int
    recommender: bool


class HealthAnswer(BaseModel):
    """The process answers."""

    status: Literal["ok"]


class ProblemDocument(BaseModel):
    """A problem document, RFC 9457."""

    type: str
    title: str
    status: int
    detail: str


def decoded(text: str) -> bytes:
    """The bytes of base64; ValueError for anything else."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("image: is no base64") from None
