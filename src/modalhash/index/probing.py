"""Kernels that open buckets instead of scanning: codes lie in buckets by the value of some of their bits.

A bucket is opened in rings: first the query's own value, then all values that differ in one bit, in two …
The k best so far form a heap whose top is the worst of them; an entry is distance · 2³² + position, so its order is
that of the results.  What uses an intrinsic is in its file, see kernels.py; only the instructions of `which_below` come
from there, so after a change of them delete numba's cache of this file.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import cgutils as _cgutils
from numpy.typing import NDArray

from modalhash.index.kernels import generate_which_below
from modalhash.index.scan import Nearest
from modalhash.views import Array, blocks

types: Any = numba.types  # numba's own annotations describe a function before it is decorated
intrinsic: Callable[[Callable[..., Any]], Any] = numba.extending.intrinsic
kernel = njit(cache=True, nogil=True)
cgutils: Any = _cgutils
MOST_BITS = 64
RUN = 64  # codes that are asked at once; also the slack behind the last bucket
LINE = 64  # bytes that the memory hands over at once
AHEAD = 4  # buckets that are fetched before they are opened: each is a wait for the memory otherwise
FAR = 16  # buckets whose bounds are fetched before that
PENDING = 2 * RUN  # near codes that wait until their positions have arrived
BATCH = 64  # queries that are worth a thread


@intrinsic
def bits_set(typing: Any, word: Any) -> Any:
    """Number of bits that are set, as int64."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        count = builder.ctpop(args[0])
        return count if word.bitwidth == 64 else builder.zext(count, context.get_value_type(types.int64))

    return types.int64(word), generate


@intrinsic
def fetch(typing: Any, array: Any, i: Any) -> Any:
    """Ask for the memory at array[i] without waiting for it; harmless at the end of the array.

    It comes into the second cache: the first holds too few lines that are on their way.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), (byte, number, number, number))
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        read, keep, as_data = (ir.Constant(number, value) for value in (0, 2, 1))
        builder.call(prefetch, [builder.bitcast(builder.gep(data, [args[1]]), byte), read, keep, as_data])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


@intrinsic
def which_below(typing: Any, planes: Any, i: Any, query: Any, limit: Any) -> Any:
    """A 64-bit word whose bit x tells whether code i + x is nearer to the query than the limit."""
    return types.uint64(planes, types.int64, query, types.int64), generate_which_below


@intrinsic
def lowest_bit(typing: Any, word: Any) -> Any:
    """Position of the lowest bit that is set; the word is not 0."""
    never_zero = ir.Constant(ir.IntType(1), 1)
    return types.int64(types.uint64), lambda context, builder, signature, args: builder.cttz(args[0], never_zero)


@kernel
def fill_buckets(words, shift, mask, starts, members, kept):  # type: ignore[no-untyped-def]
    """Sort positions by bucket (words >> shift) & mask, keeping their order; bucket v is starts[v] … starts[v+1] - 1.

    Copies the words into `kept` in the same order if it has room for them.
    """
    starts[:] = 0
    for i in range(len(words)):
        starts[np.int64(words[i] >> shift & mask) + 1] += 1
    for x in range(1, len(starts)):
        starts[x] += starts[x - 1]
    for i in range(len(words)):
        v = np.int64(words[i] >> shift & mask)
        members[starts[v]] = i
        if len(kept):
            kept[starts[v]] = words[i]
        starts[v] += 1
    for x in range(len(starts) - 1, 0, -1):  # every start has moved to its end, the start of the next
        starts[x] = starts[x - 1]
    starts[0] = 0


@kernel
def sink(heap, size, entry):  # type: ignore[no-untyped-def]
    """Put an entry in the place of the top and let it sink below all larger ones."""
    x = 0
    while True:
        child = 2 * x + 1
        if child + 1 < size and heap[child + 1] > heap[child]:
            child += 1
        if child >= size or heap[child] <= entry:
            break
        heap[x] = heap[child]
        x = child
    heap[x] = entry


@kernel
def offer(heap, size, entry):  # type: ignore[no-untyped-def]
    """Add an entry while the heap has room, else let it replace the top if it is better; returns the new size."""
    if size == len(heap):
        if entry < heap[0]:
            sink(heap, size, entry)
        return size
    x = size
    while x > 0 and heap[(x - 1) // 2] < entry:
        heap[x] = heap[(x - 1) // 2]
        x = (x - 1) // 2
    heap[x] = entry
    return size + 1


@kernel
def write_sorted(heap, positions, distances):  # type: ignore[no-untyped-def]
    """Empty the full heap from its top, the worst, into the results from their end."""
    for x in range(len(heap) - 1, -1, -1):
        positions[x] = np.int64(heap[0] & np.uint64(0xFFFFFFFF))
        distances[x] = np.int64(heap[0] >> np.uint64(32))
        sink(heap, x, heap[x])


@kernel
def probe_table(buckets, queries, rings, budget, heap, positions, distances, work):  # type: ignore[no-untyped-def]
    """The nearest codes from one table over all bits: a ring is a distance, so the first full heap is the answer.

    work[j] counts the buckets and codes looked at; it is negative where more than `budget` would be needed.
    """
    starts, members = buckets
    flips, ring_starts = rings
    for j in range(len(queries)):
        size, work[j], d = 0, 0, 0
        while size < len(heap) and work[j] <= budget:
            for z in range(ring_starts[d], ring_starts[d + 1]):
                v = np.int64(queries[j] ^ flips[z])
                work[j] += 1
                for x in range(starts[v], starts[v + 1]):
                    entry = np.uint64(d) << np.uint64(32) | np.uint64(members[x])
                    if size == len(heap) and entry > heap[0]:
                        break  # the rest of the bucket comes later still
                    size = offer(heap, size, entry)
                    work[j] += 1
            d += 1
        if size < len(heap):
            work[j] = -work[j]
        else:
            write_sorted(heap, positions[j], distances[j])


@kernel
def first_met(difference, t, s, chunk_bits, chunks):  # type: ignore[no-untyped-def]
    """False if an earlier bucket held this code: one of a chunk before t at radius <= s, or behind t at < s."""
    mask = (np.uint64(1) << np.uint64(chunk_bits)) - np.uint64(1)
    for c in range(chunks):
        e = bits_set(np.uint64(difference) >> np.uint64(c * chunk_bits) & mask)
        if (c < t and e <= s) or (c > t and e < s):
            return False
    return True


@kernel
def offer_pending(tables, t, query, s, pending, heap, size):  # type: ignore[no-untyped-def]
    """Offer the codes at these places of table t, met at radius s; returns the size of the heap and its worst."""
    starts, members, words, chunk_bits = tables
    worst = worst_of(heap, size)
    for x in pending:
        difference = words[t, x] ^ query
        d = bits_set(difference)
        if d <= worst and first_met(difference, t, s, chunk_bits, len(starts)):
            size = offer(heap, size, np.uint64(d) << np.uint64(32) | np.uint64(members[t, x]))
            worst = worst_of(heap, size)
    return size, worst


@kernel
def worst_of(heap, size):  # type: ignore[no-untyped-def]
    """The distance that a code may have and still be among the best: any until the heap is full."""
    return np.int64(heap[0] >> np.uint64(32)) if size == len(heap) else np.int64(MOST_BITS)


@kernel
def open_ring(tables, t, query, flips, s, budget, room, size):  # type: ignore[no-untyped-def]
    """Offer the codes whose chunk t differs from the query's as one of `flips` says; returns size and work."""
    starts, members, words, chunk_bits = tables
    heap, pending = room
    own = np.uint64(query) >> np.uint64(t * chunk_bits) & (np.uint64(1) << np.uint64(chunk_bits)) - np.uint64(1)
    worst, waiting, work = worst_of(heap, size), 0, np.int64(0)
    for z in range(len(flips)):
        if z + FAR < len(flips):  # not in a function of its own: a call that takes arrays counts references
            fetch(starts[t], np.int64(own ^ np.uint64(flips[z + FAR])))
        if z + AHEAD < len(flips):
            v = np.int64(own ^ np.uint64(flips[z + AHEAD]))
            for x in range(np.int64(starts[t, v]), np.int64(starts[t, v + 1]), LINE // words.itemsize):
                fetch(words[t], x)
        v = np.int64(own ^ np.uint64(flips[z]))
        first, last = np.int64(starts[t, v]), np.int64(starts[t, v + 1])
        work += 1 + last - first
        if work > budget:
            break
        for start in range(first, last, RUN):
            found = which_below((words[t],), start, (query,), worst + 1)
            if last - start < RUN:  # what lies behind belongs to the next bucket
                found &= (np.uint64(1) << np.uint64(last - start)) - np.uint64(1)
            if waiting > PENDING - RUN and found != 0:
                size, worst = offer_pending(tables, t, query, s, pending[:waiting], heap, size)
                waiting = 0
            while found != 0:
                pending[waiting] = start + lowest_bit(found)
                fetch(members[t], pending[waiting])
                found &= found - np.uint64(1)
                waiting += 1
    return offer_pending(tables, t, query, s, pending[:waiting], heap, size)[0], work


@kernel
def probe_chunks(tables, queries, rings, budget, heap, positions, distances, work):  # type: ignore[no-untyped-def]
    """The nearest codes from one table a chunk (multi-index hashing, Norouzi, Punjani & Fleet 2012).

    After radius s in the chunks 0 … t and s - 1 in the rest, a code that was not met differs by at least s + 1 in
    each of the former and s in the latter: all codes up to distance chunks · s + t have been met.
    """
    flips, ring_starts = rings
    chunks, chunk_bits, room = len(tables[0]), tables[3], (heap, np.empty(PENDING, np.int64))
    for j in range(len(queries)):
        size, work[j] = 0, 0
        for step in range(chunks * (chunk_bits + 1)):
            s, t = step // chunks, step % chunks
            ring = flips[ring_starts[s] : ring_starts[s + 1]]
            size, more = open_ring(tables, t, queries[j], ring, s, budget - work[j], room, size)
            work[j] += more
            if work[j] > budget:
                break
            if size == len(heap) and worst_of(heap, size) <= chunks * s + t:
                break
        if work[j] > budget:
            work[j] = -work[j]
        else:
            write_sorted(heap, positions[j], distances[j])


def rings(bits: int, dtype: Any) -> tuple[Array, Array]:
    """All values of some bits in order of the number of bits set, and where each number starts."""
    counts = np.bitwise_count(np.arange(2**bits, dtype=np.uint32))
    starts = np.concatenate([[0], np.cumsum(np.bincount(counts, minlength=bits + 1))])
    return np.argsort(counts, kind="stable").astype(dtype), starts


def probe(
    search: Callable[..., None], queries: Array, k: int, budget: int, threads: int
) -> tuple[Nearest, NDArray[np.int64]]:
    """Call search(queries, budget, heap, positions, distances, work) on parts of the queries, one a thread."""
    shape = (len(queries), k)
    positions, distances = np.empty(shape, np.int64), np.empty(shape, np.int32)
    work = np.empty(len(queries), np.int64)

    def part(rows: slice) -> None:
        heap = np.empty(k, np.uint64)
        search(queries[rows], budget, heap, positions[rows], distances[rows], work[rows])

    rows = list(blocks(len(queries), max(BATCH, -(-len(queries) // threads))))
    if len(rows) == 1:
        part(rows[0])
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(part, rows))
    return (positions, distances), work
