"""Hamming scan kernels: the nearest codes, or all within a radius, at the speed of the memory.

Codes lie in *planes*: plane w holds word w of every code, so that one vector instruction compares one word of
many codes.  A scan asks one question of 64 to 256 codes at once, "is any of them nearer than the limit?", and
nearly always hears no; only a yes makes it look at single codes.  The limit falls as near codes are found.

What the hot loop does is written as explicit vectors (`any_below`, `which_below`), because the compiler by
itself stays at half the vector width and a fifth of the speed.  `scan_plain` is the same scan as an ordinary loop.
Everything that uses an intrinsic is in this file: numba's cache on disk notices changes of one file only.
The kernels read raw memory, so `check` looks at every array before one is called.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba import njit
from numba.core import cgutils as _cgutils
from numpy.typing import NDArray

from modalhash.views import Array

types: Any = numba.types  # numba's own annotations describe a function before it is decorated
intrinsic: Callable[[Callable[..., Any]], Any] = numba.extending.intrinsic
cgutils: Any = _cgutils
Planes = tuple[Array, ...]
VECTOR = 512  # bits of a vector
UNROLLED = 8  # vectors under one question: their minima form a tree, and one branch serves them all
STEP = 256  # codes under one question, at most (16 bits); also the slack of a buffer
CACHED = 256 * 1024  # bytes of codes that stay in a near cache while a group of queries passes over them
GROUP = 64  # queries of a group
BUFFERS = 64 * 2**20  # bytes of all buffers of a group
WORDS = (np.dtype(np.uint16), np.dtype(np.uint32), np.dtype(np.uint64))
FEATURES = ("avx512f", "avx512bw", "avx512vpopcntdq", "avx512bitalg")


@cache
def has_vectors() -> bool:
    """True where the processor counts the bits of whole vectors; elsewhere the plain loops are as good."""
    features = binding.get_host_cpu_features()
    return all(features.get(name, False) for name in FEATURES)


def _splat(builder: Any, value: Any, vector: Any) -> Any:
    """A vector with `value` in every lane."""
    empty = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(empty, value, ir.Constant(ir.IntType(32), 0))
    lanes = ir.VectorType(ir.IntType(32), vector.count)
    return builder.shuffle_vector(first, empty, ir.Constant(lanes, [0] * vector.count))


def _count_bits(builder: Any, vector: Any) -> Any:
    kind = vector.type
    name = f"llvm.ctpop.v{kind.count}i{kind.element.width}"
    count = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, (kind,)), name)
    return builder.call(count, [vector])


def _compare(context: Any, builder: Any, signature: Any, args: Any, vectors: int) -> tuple[list[Any], Any]:
    """Distances of the codes from position i on, as so many vectors, and the limit as one more vector."""
    planes, i, query, limit = args
    bits = signature.args[2].dtype.bitwidth
    kind = ir.VectorType(ir.IntType(bits), VECTOR // bits)
    sums = [ir.Constant(kind, None)] * vectors
    for w in range(signature.args[0].count):
        plane = context.make_array(signature.args[0].dtype)(context, builder, builder.extract_value(planes, w))
        word = _splat(builder, builder.extract_value(query, w), kind)
        for v in range(vectors):
            at = builder.gep(plane.data, [builder.add(i, ir.Constant(i.type, v * kind.count))])
            codes = builder.load(builder.bitcast(at, kind.as_pointer()), align=bits // 8)
            sums[v] = builder.add(sums[v], _count_bits(builder, builder.xor(codes, word)))
    narrow = limit if bits == 64 else builder.trunc(limit, ir.IntType(bits))
    return sums, _splat(builder, narrow, kind)


def _lanes_below(builder: Any, distances: Any, limit: Any) -> Any:
    """One bit a lane, in a 64-bit word: is the distance below the limit?"""
    below = builder.icmp_unsigned("<", distances, limit)
    return builder.zext(builder.bitcast(below, ir.IntType(distances.type.count)), ir.IntType(64))


@intrinsic
def any_below(typing: Any, planes: Any, i: Any, query: Any, limit: Any) -> Any:
    """Nonzero if one of the 8 vectors of codes from position i on is nearer to the query than the limit."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        distances, threshold = _compare(context, builder, signature, args, UNROLLED)
        if threshold.type.element.width == 64:
            # the minimum of 32-bit lanes is one instruction, that of 64-bit lanes is slower; the upper halves are 0
            halves = ir.VectorType(ir.IntType(32), VECTOR // 32)
            distances = [builder.bitcast(d, halves) for d in distances]
        while len(distances) > 1:
            pairs = zip(distances[::2], distances[1::2], strict=True)
            distances = [builder.select(builder.icmp_unsigned("<", a, b), a, b) for a, b in pairs]
        return _lanes_below(builder, builder.bitcast(distances[0], threshold.type), threshold)

    return types.uint64(planes, types.int64, query, types.int64), generate


def generate_which_below(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """The instructions of `which_below`, here and in probing.py."""
    lanes = VECTOR // signature.args[2].dtype.bitwidth
    distances, threshold = _compare(context, builder, signature, args, 64 // lanes)
    found = ir.Constant(ir.IntType(64), 0)
    for v, d in enumerate(distances):
        word = _lanes_below(builder, d, threshold)
        found = builder.or_(found, builder.shl(word, ir.Constant(ir.IntType(64), v * lanes)))
    return found


@intrinsic
def which_below(typing: Any, planes: Any, i: Any, query: Any, limit: Any) -> Any:
    """A 64-bit word whose bit x tells whether code i + x is nearer to the query than the limit."""
    return types.uint64(planes, types.int64, query, types.int64), generate_which_below


@intrinsic
def bits_set(typing: Any, word: Any) -> Any:
    """Number of bits that are set."""
    return word(word), lambda context, builder, signature, args: builder.ctpop(args[0])


@intrinsic
def lowest_bit(typing: Any, word: Any) -> Any:
    """Position of the lowest bit that is set; the word is not 0."""
    never_zero = ir.Constant(ir.IntType(1), 1)
    return types.int64(types.uint64), lambda context, builder, signature, args: builder.cttz(args[0], never_zero)


@intrinsic
def row_words(typing: Any, queries: Any, row: Any) -> Any:
    """The words of one query as a tuple, so that they stay in registers."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = signature.args[0].dtype
        words = []
        for w in range(signature.args[0].count):
            plane = context.make_array(kind)(context, builder, builder.extract_value(args[0], w))
            words.append(builder.load(builder.gep(plane.data, [args[1]])))
        return context.make_tuple(builder, signature.return_type, words)

    return types.UniTuple(queries.dtype.dtype, queries.count)(queries, types.int64), generate


kernel = njit(cache=True, nogil=True)


@kernel
def distance_at(planes, i, query):  # type: ignore[no-untyped-def]
    """Hamming distance of code i."""
    total = np.int64(0)
    for w in range(len(planes)):
        total += np.int64(bits_set(planes[w][np.uint64(i)] ^ query[w]))  # an unsigned index needs no wrap-around
    return total


@kernel
def scan_singly(planes, query, i, end, limit, buffer, filled):  # type: ignore[no-untyped-def]
    """Append the codes i … end - 1 that are nearer than the limit; stop early when the buffer is nearly full.

    An entry is distance · 2³² + position.  Returns the position reached and the number of entries.
    """
    while i < end and filled <= len(buffer) - STEP:
        d = distance_at(planes, i, query)
        if d < limit:
            buffer[filled] = np.uint64(d) << np.uint64(32) | np.uint64(i)
            filled += 1
        i += 1
    return i, filled


@kernel
def scan_vector(planes, query, i, end, limit, buffer, filled):  # type: ignore[no-untyped-def]
    """`scan_singly`, with the codes asked in vectors."""
    step = UNROLLED * (VECTOR // 8) // planes[0].itemsize
    while i + step <= end:
        if any_below(planes, i, query, limit) != 0:
            if filled > len(buffer) - STEP:
                return i, filled
            for start in range(i, i + step, 64):
                found = which_below(planes, start, query, limit)
                while found != 0:
                    at = start + lowest_bit(found)
                    found &= found - np.uint64(1)
                    buffer[filled] = np.uint64(distance_at(planes, at, query)) << np.uint64(32) | np.uint64(at)
                    filled += 1
        i += step
    return scan_singly(planes, query, i, end, limit, buffer, filled)


@kernel
def scan_plain(planes, query, i, end, limit, buffer, filled):  # type: ignore[no-untyped-def]
    """`scan_singly`, with the codes asked in runs whose loop the compiler may turn into vectors."""
    while i + STEP <= end:
        least = limit
        for x in range(i, i + STEP):
            least = min(least, distance_at(planes, x, query))
        if least < limit:
            reached, filled = scan_singly(planes, query, i, i + STEP, limit, buffer, filled)
            if reached < i + STEP:
                return reached, filled
        i += STEP
    return scan_singly(planes, query, i, end, limit, buffer, filled)


@kernel
def scan(planes, query, i, end, limit, buffer, filled, vector):  # type: ignore[no-untyped-def]
    """`scan_vector` for vector=True, `scan_plain` for None: numba compiles the branch that the type leaves."""
    if vector is None:
        return scan_plain(planes, query, i, end, limit, buffer, filled)
    return scan_vector(planes, query, i, end, limit, buffer, filled)


@kernel
def keep_best(buffer, filled, k, tally):  # type: ignore[no-untyped-def]
    """Keep the k best of more than k entries, in order of position; returns k and their largest distance.

    A code that comes later and is as far as the k-th loses the tie, so that distance is the new limit.
    """
    tally[:] = 0
    for x in range(filled):
        tally[np.int64(buffer[x] >> np.uint64(32))] += 1
    limit, room = 0, k
    while tally[limit] < room:
        room -= tally[limit]
        limit += 1
    kept = 0
    for x in range(filled):
        d = np.int64(buffer[x] >> np.uint64(32))
        if d < limit or (d == limit and room > 0):
            room -= d == limit
            buffer[kept] = buffer[x]
            kept += 1
    return kept, limit


@kernel
def write_sorted(buffer, filled, tally, positions, distances):  # type: ignore[no-untyped-def]
    """Write the entries, which are in order of position, in the order (distance, position)."""
    tally[:] = 0
    for x in range(filled):
        tally[np.int64(buffer[x] >> np.uint64(32)) + 1] += 1
    for x in range(1, len(tally)):
        tally[x] += tally[x - 1]
    for x in range(filled):
        d = np.int64(buffer[x] >> np.uint64(32))
        place = tally[d]
        tally[d] += 1
        if place < len(positions):
            positions[place] = np.int64(buffer[x] & np.uint64(0xFFFFFFFF))
            distances[place] = d


@kernel
def top(planes, queries, span, buffers, tally, positions, distances, vector):  # type: ignore[no-untyped-def]
    """The nearest codes first … last - 1 of the queries a … b - 1; positions has k columns, k <= last - first."""
    a, b, first, last = span
    group, k = len(buffers), positions.shape[1]
    block = max(STEP, CACHED // (planes[0].itemsize * len(planes)))
    filled, limits = np.empty(group, np.int64), np.empty(group, np.int64)
    for start in range(a, b, group):
        size = min(group, b - start)
        filled[:], limits[:] = 0, len(tally)
        for at in range(first, last, block):
            end = min(at + block, last)
            for j in range(size):
                query, i = row_words(queries, start + j), at
                while i < end:
                    i, filled[j] = scan(planes, query, i, end, limits[j], buffers[j], filled[j], vector)
                    if i < end:
                        filled[j], limits[j] = keep_best(buffers[j], filled[j], k, tally)
        for j in range(size):
            if filled[j] > k:
                filled[j], _ = keep_best(buffers[j], filled[j], k, tally)
            write_sorted(buffers[j], filled[j], tally, positions[start + j], distances[start + j])


@kernel
def collect(planes, queries, limit, buffer, starts, entries, vector):  # type: ignore[no-untyped-def]
    """Put the codes nearer than the limit behind one another from starts[j] on; starts[j] ends behind the last.

    With no room for entries it only counts.
    """
    block = max(STEP, CACHED // (planes[0].itemsize * len(planes)))
    n = len(planes[0])
    for at in range(0, n, block):
        end = min(at + block, n)
        for j in range(len(starts)):
            query, i = row_words(queries, j), at
            while i < end:
                i, filled = scan(planes, query, i, end, limit, buffer, 0, vector)
                if len(entries):
                    entries[starts[j] : starts[j] + filled] = buffer[:filled]
                starts[j] += filled


@kernel
def sort_parts(entries, ends, tally, positions, distances):  # type: ignore[no-untyped-def]
    """Write each query's entries in the order (distance, position)."""
    start = 0
    for j in range(len(ends)):
        end = ends[j]
        write_sorted(entries[start:end], end - start, tally, positions[start:end], distances[start:end])
        start = end


def check(planes: Planes, queries: Planes) -> None:
    """Refuse planes that the kernels must not read: other dtypes, lengths, memory layouts, too many codes."""
    if not isinstance(planes, tuple) or not isinstance(queries, tuple) or not planes or len(planes) != len(queries):
        raise ValueError("planes and queries: expected tuples of equally many planes, at least one")
    for name, group in (("planes", planes), ("queries", queries)):
        for plane in group:
            if not isinstance(plane, np.ndarray) or plane.dtype != planes[0].dtype or plane.dtype not in WORDS:
                raise TypeError(f"{name}: expected arrays of one dtype (uint16, uint32 or uint64)")
            if plane.shape != (len(group[0]),) or not plane.flags.c_contiguous or not plane.flags.aligned:
                raise ValueError(f"{name}: expected contiguous aligned arrays of shape ({len(group[0])},)")
    if len(planes[0]) >= 2**32:
        raise ValueError(f"planes: expected fewer than 2**32 codes, got {len(planes[0])}")


def nearest(
    planes: Planes, queries: Planes, k: int, *, vector: bool, threads: int = 1
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Positions (q, k) int64 and distances (q, k) int32 of the k nearest codes, in the order (distance, position).

    Several threads share the queries, or the codes where the queries are few; the answer is the same.
    """
    check(planes, queries)
    n, q = len(planes[0]), len(queries[0])
    if not 1 <= k <= n:
        raise ValueError(f"k: expected 1 to {n}, got {k}")
    by_queries = q >= GROUP * threads
    edges = [(q if by_queries else n) * thread // threads for thread in range(threads + 1)]
    spans = [(a, b, 0, n) if by_queries else (0, q, a, b) for a, b in pairwise(edges) if a < b]
    jobs = [(planes, queries, span, k, vector) for span in spans]
    if len(jobs) == 1:
        return _top_part(*jobs[0])
    with ThreadPoolExecutor(len(jobs)) as pool:
        parts = list(pool.map(lambda job: _top_part(*job), jobs))
    if by_queries:
        return np.concatenate([p for p, _ in parts]), np.concatenate([d for _, d in parts])
    positions, distances = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]  # parts come in order of position
    return np.take_along_axis(positions, order, axis=1), np.take_along_axis(distances, order, axis=1)


def _top_part(
    planes: Planes, queries: Planes, span: tuple[int, int, int, int], k: int, vector: bool
) -> tuple[Array, Array]:
    a, b, first, last = span
    k = min(k, last - first)
    room = min(3 * k // 2 + 64, last - first) + STEP
    group = max(1, min(GROUP, b - a, BUFFERS // (8 * room)))
    buffers = np.empty((group, room), np.uint64)
    positions, distances = np.empty((b - a, k), np.int64), np.empty((b - a, k), np.int32)
    if a < b:
        mine = tuple(plane[a:b] for plane in queries)
        top(planes, mine, (0, b - a, first, last), buffers, _tally(planes), positions, distances, vector or None)
    return positions, distances


def _tally(planes: Planes) -> Array:
    """Room for a count of every distance, and one more."""
    return np.empty(8 * planes[0].itemsize * len(planes) + 2, np.int64)


def within(
    planes: Planes, queries: Planes, radius: int, *, vector: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """All codes within the radius: ends (q,), positions and distances; query j owns ends[j-1] … ends[j] - 1.

    The first pass counts, the second writes into arrays of just that size.
    """
    check(planes, queries)
    tally = _tally(planes)
    limit = min(radius + 1, len(tally))
    buffer, nothing = np.empty(4 * STEP, np.uint64), np.empty(0, np.uint64)
    counts = np.zeros(len(queries[0]), np.int64)
    collect(planes, queries, limit, buffer, counts, nothing, vector or None)
    ends = np.cumsum(counts)
    entries = np.empty(counts.sum(), np.uint64)
    if len(entries):
        collect(planes, queries, limit, buffer, ends - counts, entries, vector or None)
    positions, distances = np.empty(len(entries), np.int64), np.empty(len(entries), np.int32)
    sort_parts(entries, ends, tally, positions, distances)
    return ends, positions, distances
