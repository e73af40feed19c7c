"""Routes of search and encoding, of recommendation, and of the service itself."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from modalhash.service import schemas
from modalhash.service.asked import allowed, hits_of, seen_of
from modalhash.service.bodies import checked, parsed
from modalhash.service.documents import problems, takes
from modalhash.service.problems import Problem
from modalhash.service.sessions import form_of
from modalhash.service.shelf import joined
from modalhash.service.state import State, state_of

router = APIRouter()
FEW = 100  # results of a search that may be made at once; never with a picture, few bytes may be many pixels
FORM = {
    "text": {"type": "string"},
    "image": {"type": "string", "format": "binary"},
    "k": {"type": "integer", "minimum": 1, "default": 10},
}


@router.get("/health", response_model=schemas.HealthAnswer, responses=problems(), tags=["service"])
async def health() -> dict[str, str]:
    """Whether the process answers; needs no key."""
    return {"status": "ok"}


@router.get("/ready", response_model=schemas.ReadyAnswer, responses=problems(), tags=["service"])
async def ready(request: Request) -> dict[str, Any]:
    """Whether the collection is loaded; needs no key."""
    state = state_of(request)
    served = state.served
    return {
        "status": "ready",
        "items": await state.run(len, served.shelf),
        "recommender": served.recommender is not None,
        "versions": state.versions(),
    }


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problems()},
    tags=["service"],
)
async def metrics(request: Request) -> Response:
    """Counters in the text format of Prometheus: requests by route and status, never what was asked."""
    state = state_of(request)
    gauges: dict[str, float] = {"ready": float(state.ready)}
    if state.ready:
        gauges |= {"items": await state.run(len, state.served.shelf), "store_version": state.served.shelf.version}
    return Response(state.counters.text(gauges), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.post(
    "/search",
    response_model=schemas.SearchAnswer,
    responses=problems(),
    openapi_extra=takes(schemas.SearchRequest, FORM),
    tags=["search"],
)
async def search(request: Request) -> dict[str, Any]:
    """The k nearest items to words, a picture (base64 in JSON, a file in a form), view vectors, or several."""
    state = state_of(request)
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        asked, image = await _form(request, state)
    else:
        asked, image = await parsed(request, schemas.SearchRequest, state.settings.limits), None
    shelf = state.served.shelf

    def find() -> Any:
        return shelf.search([seen_of(asked, state.settings.limits.pixels, image)], asked.k, allowed(asked.allow))

    few = asked.k <= FEW and asked.allow is None and not image and not asked.image
    found = await state.run(find, at_once=few and shelf.is_quick)
    return {"hits": hits_of(found)[0], "versions": state.versions()}


async def _form(request: Request, state: State) -> tuple[schemas.SearchRequest, bytes | None]:
    form = await form_of(request)
    image = form.pop("image", b"")
    if isinstance(image, str):
        image = _no_file(image)
    fields: dict[str, Any] = {name: value for name, value in form.items() if value != ""}
    k = fields.get("k")
    if isinstance(k, str) and k.isascii() and k.isdigit() and len(k) < 20:
        fields["k"] = int(k)
    return checked(schemas.SearchRequest, fields, state.settings.limits), image or None


def _no_file(text: str) -> bytes:
    """What stands for a file that was not chosen; Problem 422 for words in its place."""
    if text:
        raise Problem(422, "image: expected a file")
    return b""


@router.post(
    "/search/batch",
    response_model=schemas.BatchAnswer,
    responses=problems(),
    openapi_extra=takes(schemas.BatchRequest),
    tags=["search"],
)
async def search_batch(request: Request) -> dict[str, Any]:
    """The k nearest items of several queries."""
    state = state_of(request)
    limits = state.settings.limits
    asked = await parsed(request, schemas.BatchRequest, limits)
    if len(asked.queries) * asked.k > limits.results:
        raise Problem(422, f"queries times k: expected at most {limits.results}, got {len(asked.queries) * asked.k}")
    shelf = state.served.shelf

    def find() -> Any:
        return shelf.search([seen_of(one, limits.pixels) for one in asked.queries], asked.k, allowed(asked.allow))

    return {"results": hits_of(await state.run(find)), "versions": state.versions()}


@router.post(
    "/encode",
    response_model=schemas.EncodeAnswer,
    responses=problems(),
    openapi_extra=takes(schemas.EncodeRequest),
    tags=["search"],
)
async def encode(request: Request) -> dict[str, Any]:
    """Codes of items or queries, in hex."""
    state = state_of(request)
    asked = await parsed(request, schemas.EncodeRequest, state.settings.limits)
    shelf, pixels = state.served.shelf, state.settings.limits.pixels

    def make() -> Any:
        return joined([shelf.encode(seen_of(one, pixels), query=asked.role == "query") for one in asked.items])

    made = await state.run(make)
    answer: dict[str, Any] = {"n_bits": shelf.n_bits, "versions": state.versions()}
    if hasattr(made, "packed"):
        return {**answer, "codes": [row.tobytes().hex() for row in made.packed]}
    return {**answer, "vectors": made.tolist()}


@router.post(
    "/recommend",
    response_model=schemas.RecommendAnswer,
    responses=problems(404),
    openapi_extra=takes(schemas.RecommendRequest),
    tags=["recommend"],
)
async def recommend(request: Request) -> dict[str, Any]:
    """The k items whose codes are nearest to a user's."""
    state = state_of(request)
    asked = await parsed(request, schemas.RecommendRequest, state.settings.limits)
    model, titles = _recommender(state)
    hits = await state.run(model.recommend, _known(model.user_ids_, "user", asked.user), asked.k, asked.exclude_seen)
    pairs = zip(hits.ids[0].tolist(), hits.distances[0].tolist(), strict=True)
    found = [{"id": id_, "title": titles.get(id_), "distance": distance} for id_, distance in pairs]
    return {"user": asked.user, "hits": found, "versions": state.versions()}


@router.post(
    "/explain",
    response_model=schemas.ExplainAnswer,
    responses=problems(404),
    openapi_extra=takes(schemas.ExplainRequest),
    tags=["recommend"],
)
async def explain(request: Request) -> dict[str, Any]:
    """Why an item suits a user: the bits that agree, and where they come from."""
    from dataclasses import asdict

    from modalhash.recommend.explanation import in_words

    state = state_of(request)
    asked = await parsed(request, schemas.ExplainRequest, state.settings.limits)
    model, titles = _recommender(state)
    user, item = _known(model.user_ids_, "user", asked.user), _known(model.item_ids_, "item", asked.item)
    found = await state.run(model.explain, user, item)
    rated = {f"rated item {id_}": title for id_, title in titles.items()}
    return {
        "user": user,
        "item": item,
        "title": titles.get(item),
        "score": found.score,
        "bits": found.bits.tolist(),
        "n_bits": model.n_bits,
        "in_words": in_words(found, model.n_bits),
        "generated": found.generated,
        "grounded": [asdict(ground) | {"title": rated.get(ground.source)} for ground in found.grounded],
        "versions": state.versions(),
    }


def _recommender(state: State) -> tuple[Any, dict[Any, str]]:
    served = state.served
    if served.recommender is None:
        raise Problem(404, "no recommender is served; start the service with --recommender MODEL")
    return served.recommender, served.titles or {}


def _known(ids: Any, what: str, wanted: int | str) -> int | str:
    """The id itself; Problem 404 where the recommender has not seen it."""
    if isinstance(wanted, str) != (ids.dtype.kind == "U") or not (ids == wanted).any():
        raise Problem(404, f"{what}: the recommender knows no such id")
    return wanted
