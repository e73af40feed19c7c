"""Look-up-table scan: the items with the least sums of table entries.

Words lie in *planes*: plane j holds the word of codebook j of every item, one byte each, so that one vector
instruction looks 64 words up.  A query has a float table; the distance of an item is the sum of one entry from each
codebook, added in their order in float32 (for `l2` twice that, plus the norm of the item, plus that of the query).

Where the processor can look bytes up in its registers, a query also has a byte table: the float table counted in
steps above its minima and *rounded down*, so that a sum of bytes is a lower bound of the distance.  Only items whose
bound is not above the limit have their distance computed; the answer is that of the float table.  For `l2` the norms
take part as one more plane: a byte that tells in which of 256 intervals a norm lies, its entry the least norm there.

An entry of a buffer is (distance as an ordered integer) · 2³² + position: unique, so that the k least are, too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba import njit
from numba.core import cgutils as _cgutils
from numpy.typing import NDArray

from modalhash.index.lookup_planes import STEP, Planes, check
from modalhash.quantized import F32
from modalhash.views import Array

types: Any = numba.types  # numba's own annotations describe a function before it is decorated
intrinsic: Callable[[Callable[..., Any]], Any] = numba.extending.intrinsic
literal_intrinsic: Callable[[Callable[..., Any]], Any] = numba.extending.intrinsic(prefer_literal=True)
cgutils: Any = _cgutils
LANES = 64  # bytes of a vector
BLOCK = 8192  # items that a group of queries passes over while their words are in a near cache
GROUP = 32  # queries of a group
FIRST = 1024  # items whose distances give the first limit
BUFFERS = 64 * 2**20  # bytes of all buffers of a group
STEPS = 250  # of a byte table, from the least distance to the limit
COARSE = 120  # steps left below the limit when the table is made anew
BYTES = ir.VectorType(ir.IntType(8), LANES)
INT, FLOAT = ir.IntType(32), ir.FloatType()
FEATURES = ("avx512f", "avx512bw", "avx512vbmi")


@cache
def has_vectors() -> bool:
    """True where the processor can look 64 bytes up in registers at once."""
    features = binding.get_host_cpu_features()
    return all(features.get(name, False) for name in FEATURES)


def _at(builder: Any, address: Any, offset: Any) -> Any:
    """The vector of bytes at address + offset."""
    return builder.bitcast(builder.gep(address, [offset]), BYTES.as_pointer())


def _call(builder: Any, name: str, *args: Any) -> Any:
    kind = ir.FunctionType(BYTES, [BYTES] * len(args))
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)


def _look_up(builder: Any, table: list[Any], words: Any) -> Any:
    """Entries of 64 words in a table of 256 bytes: seven bits choose in each half, the eighth chooses the half."""
    low = _call(builder, "llvm.x86.avx512.vpermi2var.qi.512", table[0], words, table[1])
    high = _call(builder, "llvm.x86.avx512.vpermi2var.qi.512", table[2], words, table[3])
    return builder.select(builder.icmp_signed("<", words, ir.Constant(BYTES, None)), high, low)


@literal_intrinsic
def add_entries(typing: Any, planes: Any, tables: Any, at: Any, sums: Any, count: Any, fresh: Any) -> Any:
    """Add the entries of `count` codebooks to the sums, saturated; fresh: the sums are 0 until now.

    `at` = (first codebook, first item, number of items, a multiple of 64).
    """
    if not isinstance(count, types.IntegerLiteral) or not isinstance(fresh, types.IntegerLiteral):
        return None

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = ((planes, args[0]), (tables, args[1]), (sums, args[3]))
        words, entries, totals = (context.make_array(kind)(context, builder, arg) for kind, arg in kinds)
        first, start, items = (builder.extract_value(args[2], x) for x in range(3))
        length = cgutils.unpack_tuple(builder, words.shape)[1]
        rows, held = [], []
        for c in range(count.literal_value):
            row = builder.add(first, ir.Constant(first.type, c))
            rows.append(builder.add(builder.mul(row, length), start))
            offset = builder.mul(row, ir.Constant(first.type, 256))
            places = [builder.add(offset, ir.Constant(first.type, LANES * v)) for v in range(4)]
            held.append([builder.load(_at(builder, entries.data, place), align=1) for place in places])
        zero, step = ir.Constant(first.type, 0), ir.Constant(first.type, LANES)
        with cgutils.for_range_slice(builder, zero, items, step, first.type) as (x, _):
            target = _at(builder, totals.data, x)
            total = None if fresh.literal_value else builder.load(target, align=1)
            for row, table in zip(rows, held, strict=True):
                found = _look_up(builder, table, builder.load(_at(builder, words.data, builder.add(row, x)), align=1))
                total = found if total is None else _call(builder, "llvm.uadd.sat.v64i8", total, found)
            builder.store(total, target, align=1)
        return context.get_dummy_value()

    return types.void(planes, tables, types.UniTuple(types.int64, 3), sums, count, fresh), generate


def _mask(builder: Any, sums: Any, most: Any) -> Any:
    """One bit a lane, in a 64-bit word: is the sum at most so large?"""
    empty = ir.Constant(BYTES, ir.Undefined)
    first = builder.insert_element(empty, builder.trunc(most, ir.IntType(8)), ir.Constant(INT, 0))
    lanes = ir.Constant(ir.VectorType(INT, LANES), [0] * LANES)
    limit = builder.shuffle_vector(first, empty, lanes)
    return builder.bitcast(builder.icmp_unsigned("<=", sums, limit), ir.IntType(64))


@intrinsic
def any_at_most(typing: Any, sums: Any, x: Any, most: Any) -> Any:
    """Nonzero if one of the 256 sums from x on is at most `most`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        totals = context.make_array(sums)(context, builder, args[0])
        places = [builder.add(args[1], ir.Constant(args[1].type, LANES * v)) for v in range(STEP // LANES)]
        parts = [builder.load(_at(builder, totals.data, place), align=1) for place in places]
        while len(parts) > 1:
            pairs = zip(parts[::2], parts[1::2], strict=True)
            parts = [builder.select(builder.icmp_unsigned("<", a, b), a, b) for a, b in pairs]
        return _mask(builder, parts[0], args[2])

    return types.uint64(sums, types.int64, types.int64), generate


@intrinsic
def which_at_most(typing: Any, sums: Any, x: Any, most: Any) -> Any:
    """A 64-bit word whose bit b tells whether sum x + b is at most `most`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        totals = context.make_array(sums)(context, builder, args[0])
        return _mask(builder, builder.load(_at(builder, totals.data, args[1]), align=1), args[2])

    return types.uint64(sums, types.int64, types.int64), generate


@intrinsic
def lowest_bit(typing: Any, word: Any) -> Any:
    """Position of the lowest bit that is set; the word is not 0."""
    never_zero = ir.Constant(ir.IntType(1), 1)
    return types.int64(types.uint64), lambda context, builder, signature, args: builder.cttz(args[0], never_zero)


@intrinsic
def as_bits(typing: Any, value: Any) -> Any:
    """The bits of a float32 as uint32."""
    return types.uint32(types.float32), lambda context, builder, signature, args: builder.bitcast(args[0], INT)


@intrinsic
def as_float(typing: Any, bits: Any) -> Any:
    """The float32 of these bits."""
    return types.float32(types.uint32), lambda context, builder, signature, args: builder.bitcast(args[0], FLOAT)


kernel = njit(cache=True, nogil=True, error_model="numpy")


@kernel
def entry(distance, i):  # type: ignore[no-untyped-def]
    """The buffer's entry of item i: larger distance, larger entry; -0.0 counts as 0.0."""
    bits = as_bits(distance + np.float32(0.0))
    ordered = ~bits if bits >> np.uint32(31) else bits | np.uint32(0x80000000)
    return np.uint64(ordered) << np.uint64(32) | np.uint64(i)


@kernel
def distance_of(entry):  # type: ignore[no-untyped-def]
    """The distance in an entry."""
    bits = np.uint32(entry >> np.uint64(32))
    return as_float(bits & np.uint32(0x7FFFFFFF) if bits >> np.uint32(31) else ~bits)


@kernel
def from_sum(total, norms, i, square):  # type: ignore[no-untyped-def]
    """The distance of item i with this sum of entries; without norms it is the sum."""
    if len(norms) == 0:
        return total
    return max((total * np.float32(2.0) + norms[i]) + square, np.float32(0.0))


@kernel
def distance_at(planes, i, table, square):  # type: ignore[no-untyped-def]
    """Distance of item i."""
    words, norms, _, _ = planes
    total = table[0, words[0, i]]
    for j in range(1, len(table)):
        total += table[j, words[j, i]]
    return from_sum(total, norms, i, square)


@kernel
def sum_entries(words, table, start, count, out):  # type: ignore[no-untyped-def]
    """Sums of the table's entries of items start … start + count - 1."""
    for x in range(count):
        out[x] = table[0, words[0, start + x]]
    for j in range(1, len(table)):
        for x in range(count):
            out[x] += table[j, words[j, start + x]]


@kernel
def keep_best(buffer, filled, k):  # type: ignore[no-untyped-def]
    """Move the k least of at least k entries to the front, in no order; returns the distance of the k-th.

    Quickselect: what is at most the median of three goes to the left, without a branch on the data.
    """
    low, high = 0, filled
    while high - low > 8:
        a, b, c = buffer[low], buffer[(low + high) // 2], buffer[high - 1]
        pivot = max(min(a, b), min(max(a, b), c))
        edge = low
        for x in range(low, high):
            value = buffer[x]
            buffer[x] = buffer[edge]
            buffer[edge] = value
            edge += value <= pivot
        if edge <= k:
            low = edge
        else:
            high = edge
    for x in range(low + 1, high):
        value, y = buffer[x], x
        while y > low and buffer[y - 1] > value:
            buffer[y] = buffer[y - 1]
            y -= 1
        buffer[y] = value
    largest = buffer[0]
    for x in range(1, k):
        largest = max(largest, buffer[x])
    return distance_of(largest)


@kernel
def scan_floats(planes, query, span, state, buffer, k, sums):  # type: ignore[no-untyped-def]
    """As `scan_bytes` for the items of a span, with query = (float table, square), state = (entries, limit)."""
    words, norms, _, _ = planes
    (table, square), (filled, limit), end = query, state, span[1]
    for at in range(span[0], end, STEP):
        count = min(STEP, end - at)
        sum_entries(words, table, at, count, sums)
        least = np.float32(np.inf)
        for x in range(count):
            sums[x] = from_sum(sums[x], norms, at + x, square)
            least = min(least, sums[x])
        if least < limit:
            if filled > len(buffer) - STEP:
                limit, filled = keep_best(buffer, filled, k), k
            for x in range(count):
                if sums[x] < limit:
                    buffer[filled] = entry(sums[x], at + x)
                    filled += 1
    return filled, limit


@kernel
def byte_table(planes, table, square, limit, out):  # type: ignore[no-untyped-def]
    """Write the table in whole steps above its minima, rounded down; returns (least distance, origin, slack, step).

    In real numbers origin + step · (sum of steps) <= distance.  Slack is more than all roundings of the float sum:
    each is below 2⁻²³ of the sum of magnitudes.
    """
    words, norms, least_norms, _ = planes
    m = len(table)
    total, origin, reach = np.float32(0.0), 0.0, 0.0
    factor = 2.0 if len(norms) else 1.0
    for j in range(m):
        low, high = table[j].min(), table[j].max()
        total = low if j == 0 else total + low
        origin += factor * low
        reach += factor * max(abs(low), abs(high))
    if len(norms):
        total = max((total * np.float32(2.0) + least_norms[0]) + square, np.float32(0.0))
        origin += np.float64(least_norms[0]) + square
        reach += np.float64(least_norms[-1]) + square
    slack = (m + 4) * 2.0**-22 * reach
    step = max((limit + slack - origin) / STEPS, 1e-300)
    for j in range(len(words)):
        source = table[j] if j < m else least_norms
        scale = (factor if j < m else 1.0) / step
        low = source.min()
        for w in range(len(source)):
            out[j, w] = np.uint8(min((np.float64(source[w]) - low) * scale, 255.0))
    return total, origin, slack, step


@kernel
def most_steps(scale, limit):  # type: ignore[no-untyped-def]
    """The largest sum of bytes that an item nearer than the limit can have; -1 if there is none."""
    total, origin, slack, step = scale
    return -1 if limit <= total else np.int64(min(max((limit + slack - origin) / step, 0.0), 255.0))


@kernel
def sum_bytes(words, table, start, count, sums):  # type: ignore[no-untyped-def]
    """Saturated sums of bytes, four codebooks at a time while their tables are in registers."""
    rows = len(words)
    if rows == 1:
        add_entries(words, table, (0, start, count), sums, 1, 1)
    elif rows < 4:
        add_entries(words, table, (0, start, count), sums, 2, 1)
    else:
        add_entries(words, table, (0, start, count), sums, 4, 1)
    j = min(rows, 4) if rows != 3 else 2
    while j + 4 <= rows:
        add_entries(words, table, (j, start, count), sums, 4, 0)
        j += 4
    for last in range(j, rows):
        add_entries(words, table, (last, start, count), sums, 1, 0)


@kernel
def scan_bytes(planes, query, start, count, state, buffer, k, sums):  # type: ignore[no-untyped-def]
    """Append the items from start on that are nearer than the limit; count is a multiple of STEP.

    query = (float table, byte table, square), state = (number of entries, limit, scale); returns the new state.
    """
    table, steps, square = query
    filled, limit, scale = state
    most = most_steps(scale, limit)
    if most < 0:
        return state
    sum_bytes(planes[0], steps, start, count, sums)
    for x in range(0, count, STEP):
        if any_at_most(sums, x, most) != 0:
            if filled > len(buffer) - STEP:
                limit = keep_best(buffer, filled, k)
                filled, most = k, most_steps(scale, limit)
            for y in range(x, x + STEP, LANES):
                found = which_at_most(sums, y, most) if most >= 0 else np.uint64(0)
                while found != 0:
                    i = start + y + lowest_bit(found)
                    found &= found - np.uint64(1)
                    if i >= planes[3]:
                        break
                    d = distance_at(planes, i, table, square)
                    if d < limit:
                        buffer[filled] = entry(d, i)
                        filled += 1
    return filled, limit, scale


@kernel
def top(planes, tables, squares, buffers, keys, vector):  # type: ignore[no-untyped-def]
    """Write the entries of the nearest items, in no order; keys has k columns, k <= n."""
    n, k, group = planes[3], keys.shape[1], len(buffers)
    floats, bytes_ = np.empty(STEP, np.float32), np.empty(BLOCK, np.uint8)
    steps = np.empty((group, len(planes[0]), 256), np.uint8)
    filled, limits = np.empty(group, np.int64), np.empty(group, np.float32)
    scales = [(np.float32(0.0), 0.0, 0.0, 0.0)] * group
    first = n if vector is None else min(n, (max(FIRST, k) + STEP - 1) // STEP * STEP)
    for a in range(0, len(tables), group):
        size = min(group, len(tables) - a)
        filled[:], limits[:] = 0, np.inf
        for at in range(0, first, BLOCK):
            end = min(at + BLOCK, first)
            for j in range(size):
                exact, state = (tables[a + j], squares[a + j]), (filled[j], limits[j])
                filled[j], limits[j] = scan_floats(planes, exact, (at, end), state, buffers[j], k, floats)
        if vector is not None and first < n:
            for j in range(size):
                limits[j] = keep_best(buffers[j], filled[j], k)
                filled[j] = k
                scales[j] = byte_table(planes, tables[a + j], squares[a + j], limits[j], steps[j])
            for at in range(first, n, BLOCK):
                count = min(BLOCK, planes[0].shape[1] - at)
                for j in range(size):
                    query, now = (tables[a + j], steps[j], squares[a + j]), (filled[j], limits[j], scales[j])
                    filled[j], limits[j], _ = scan_bytes(planes, query, at, count, now, buffers[j], k, bytes_)
                    if 0 <= most_steps(scales[j], limits[j]) < COARSE:
                        scales[j] = byte_table(planes, tables[a + j], squares[a + j], limits[j], steps[j])
        for j in range(size):
            if filled[j] > k:
                keep_best(buffers[j], filled[j], k)
            keys[a + j] = buffers[j, :k]


def nearest(planes: Planes, tables: F32, squares: F32, k: int, *, vector: bool) -> tuple[NDArray[np.int64], F32]:
    """Positions (q, k) int64 and distances (q, k) float32 of the k nearest items, in the order (distance, position).

    vector: with byte tables, if the processor has the instructions (no other way could be compiled for them).
    tables: (q, m, 256) float32; squares: (q,), what `l2` adds; no sum of them may leave the range of float32.
    """
    check(planes, tables, squares)
    n, q = planes[3], len(squares)
    if not 1 <= k <= n:
        raise ValueError(f"k: expected 1 to {n}, got {k}")
    room = min(2 * k + 256, n) + STEP
    buffers = np.empty((max(1, min(GROUP, q, BUFFERS // (8 * room))), room), np.uint64)
    keys = np.empty((q, k), np.uint64)
    top(planes, tables, squares, buffers, keys, (vector and has_vectors()) or None)
    keys.sort(axis=1)
    ordered = (keys >> np.uint64(32)).astype(np.uint32)
    bits: Array = np.where(ordered >> 31, ordered & np.uint32(0x7FFFFFFF), ~ordered)
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.int64), bits.view(np.float32)
