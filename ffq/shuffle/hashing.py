"""The partition hash: which reduce partition a row belongs to.

It is a specification of its own, stable across processes, machines and library versions; tests
pin it with golden vectors. Changing anything here changes `ffq.engine.ENGINE_FAMILY` (R31).

All arithmetic is on unsigned 64-bit integers, wrapping. `mix` is the finalizer of SplitMix64:

    x ^= x >> 30; x *= 0xBF58476D1CE4E5B9; x ^= x >> 27; x *= 0x94D049BB133111EB; x ^= x >> 31

1. A value becomes one word by its class, so that keys that SQL joins as equal hash alike whatever
   their width, scale, unit or encoding:
   - NULL, of any type: 0x9E3779B97F4A7C15.
   - exact numbers (booleans, integers, decimals): v = unscaled * 10^-scale with trailing zeros of
     the fraction stripped. |v| whole and in int64: mix(v). Else, unscaled in int64:
     mix(mix(unscaled) + scale). Else: the digest of the text "<unscaled>e-<scale>".
   - floats, widened to float64: mix(bits), where -0.0 is 0.0 and every NaN is
     0x7FF8000000000000. (A float and an exact number do not hash alike; the engine refuses a
     shuffled join of the two.)
   - dates and timestamps: mix(microseconds since the epoch, rounded down). Infinity, which DuckDB
     writes as 2^31 - 1 days of a date32 or 2^63 - 1 of a timestamp's unit, is 2^63 - 1 of any
     type, and minus infinity its negative. Times: microseconds of the day.
   - strings and binary, as bytes of length n: n <= 128: h = mix(n + 1), then for each 8-byte
     little-endian word w, the last padded with zeros: h = mix((h ^ w) + 0x9E3779B97F4A7C15).
     n > 128: the digest of the bytes.
   - intervals: mix(months * 30 * 86,400,000,000 + days * 86,400,000,000 + microseconds), for a
     month equals 30 days, and a day 24 hours.
   - structs: the words of the fields, in order, as those of a row (step 2).
   - lists of n elements: n <= 128: h = mix(n + 1), then for the word w of each element:
     h = mix(h * 31 + w). n > 128: the digest of the words, each little-endian. Maps: as the list
     of their entries, each the struct of a key and a value.
   The digest is BLAKE2b with 8 bytes of output, read little-endian.
2. The words of a row's key columns, in order: h = 0; for each word w: h = mix(h * 31 + w).
3. The partition of n is ((h >> 32) * n) >> 32.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ffq.errors import UnsupportedPlan

Words: TypeAlias = npt.NDArray[np.uint64]

_NULL: Final = np.uint64(0x9E3779B97F4A7C15)
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_NAN_BITS: Final = np.uint64(0x7FF8000000000000)
_LONG_BYTES: Final = 128
_LONG_LIST: Final = 128
_LISTS: Final = (
    pa.ListType,
    pa.LargeListType,
    pa.FixedSizeListType,
    pa.ListViewType,
    pa.LargeListViewType,
)
_DAY: Final = np.uint64(86_400_000_000)
_INTERVAL: Final = np.dtype([("months", "<i4"), ("days", "<i4"), ("nanoseconds", "<i8")])
_INFINITY: Final = 2**63 - 1
_INFINITE_DAYS: Final = 2**31 - 1
_MICROSECONDS: Final = {"s": 1_000_000, "ms": 1_000, "us": 1}


def partition_of_rows(keys: Sequence[pa.Array], partitions: int) -> npt.NDArray[np.int64]:
    """The reduce partition of each row.

    Args:
        keys: the key columns, of one length; at least one.
        partitions: how many partitions, 1 to 2^32 - 1.

    Returns:
        int64 array of shape (rows,), each in [0, partitions).

    Raises:
        UnsupportedPlan: a key type that has no hash.
    """
    high = hash_rows(keys) >> np.uint64(32)
    return ((high * np.uint64(partitions)) >> np.uint64(32)).astype(np.int64)


def hash_rows(keys: Sequence[pa.Array]) -> Words:
    """The row hash over the key columns: uint64 array of shape (rows,). Raises UnsupportedPlan."""
    combined = np.zeros(len(keys[0]), np.uint64)
    for key in keys:
        combined = _mix(combined * np.uint64(31) + hash_column(key))
    return combined


def hash_column(values: pa.Array) -> Words:
    """One word per value, step 1 of the specification. Raises UnsupportedPlan."""
    kind = values.type
    if isinstance(values, pa.ExtensionArray):
        return hash_column(values.storage)
    if pa.types.is_dictionary(kind):
        return hash_column(values.cast(kind.value_type))
    if pa.types.is_null(kind):
        return np.full(len(values), _NULL)
    words = _words(values, kind)
    if values.null_count:
        words[values.is_null().to_numpy(zero_copy_only=False)] = _NULL
    return words


def _words(values: pa.Array, kind: pa.DataType) -> Words:
    for is_of, words in _WORDS:
        if is_of(kind):
            return words(values)
    raise UnsupportedPlan(
        f"rows cannot be partitioned by a key of type {kind}; right would be a number, string, "
        f"binary, boolean, date, time, timestamp or interval, or a struct, list or map of them"
    )


def _is_moment(kind: pa.DataType) -> bool:
    return bool(pa.types.is_date(kind) or pa.types.is_time(kind) or pa.types.is_timestamp(kind))


def _is_list(kind: pa.DataType) -> bool:
    return isinstance(kind, _LISTS)


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _mix(words: Words) -> Words:
    words = words ^ (words >> np.uint64(30))
    words *= np.uint64(0xBF58476D1CE4E5B9)
    words ^= words >> np.uint64(27)
    words *= np.uint64(0x94D049BB133111EB)
    words ^= words >> np.uint64(31)
    return words


def _digest(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def _numpy(values: pa.Array, dtype: type[np.generic] | np.dtype[Any]) -> npt.NDArray[Any]:
    """The values behind an array of fixed-width numbers; anything where it is null."""
    _, data = values.buffers()
    raw = np.frombuffer(data, dtype) if data is not None else np.empty(0, dtype)
    return raw[values.offset : values.offset + len(values)]


def _booleans(values: pa.Array) -> Words:
    return _integers(values.cast(pa.int64()))


def _integers(values: pa.Array) -> Words:
    if not pa.types.is_uint64(values.type):
        return _mix(_numpy(values.cast(pa.int64()), np.int64).view(np.uint64))
    raw = _numpy(values, np.uint64).view(np.uint64)
    words = _mix(raw)
    for row in np.flatnonzero(raw >> np.uint64(63)):
        words[row] = _digest(b"%de-0" % int(raw[row]))
    return words


def _decimals(values: pa.Array) -> Words:
    scale = values.type.scale
    if scale < 0:
        raise UnsupportedPlan(f"rows cannot be partitioned by a key of type {values.type}")
    wide = values.cast(pa.decimal256(76, scale))
    _, data = wide.buffers()
    limbs = np.frombuffer(data, np.int64) if data is not None else np.empty(0, np.int64)
    limbs = limbs.reshape(-1, 4)[wide.offset : wide.offset + len(wide)]
    low = limbs[:, 0]
    fits = (limbs[:, 1:] == (low >> 63)[:, None]).all(axis=1)
    words = _small_decimals(low, scale)
    for row in np.flatnonzero(~fits):
        words[row] = _large_decimal(limbs[row].tobytes(), scale)
    return words


def _small_decimals(unscaled: npt.NDArray[np.int64], scale: int) -> Words:
    unscaled = unscaled.copy()
    scales = np.full(len(unscaled), scale, np.uint64)
    for _ in range(scale):
        quotient = unscaled // 10
        divisible = (scales > 0) & (quotient * 10 == unscaled)
        if not divisible.any():
            break
        unscaled[divisible] = quotient[divisible]
        scales[divisible] -= np.uint64(1)
    words = _mix(unscaled.view(np.uint64))
    fractions = scales > 0
    words[fractions] = _mix(words[fractions] + scales[fractions])
    return words


def _large_decimal(limbs: bytes, scale: int) -> int:
    unscaled = int.from_bytes(limbs, "little", signed=True)
    while scale > 0 and unscaled % 10 == 0:
        unscaled //= 10
        scale -= 1
    if not -(2**63) <= unscaled < 2**63:
        return _digest(b"%de-%d" % (unscaled, scale))
    word = _mix(np.array([unscaled], np.int64).view(np.uint64))
    return int((_mix(word + np.uint64(scale)) if scale else word)[0])


def _floats(values: pa.Array) -> Words:
    # As integers: what lies under a null may be a signalling NaN, which no float operation stands.
    bits = _numpy(values.cast(pa.float64()), np.float64).view(np.uint64)
    magnitude = bits & np.uint64(0x7FFF_FFFF_FFFF_FFFF)
    bits = np.where(magnitude == 0, np.uint64(0), bits)
    bits[magnitude > np.uint64(0x7FF0_0000_0000_0000)] = _NAN_BITS
    return _mix(bits)


def _moments(values: pa.Array) -> Words:
    return _mix(_microseconds(values, values.type).view(np.uint64))


def _microseconds(values: pa.Array, kind: pa.DataType) -> npt.NDArray[np.int64]:
    if pa.types.is_date32(kind):
        days = _numpy(values, np.int32).astype(np.int64)
        return _with_infinities(days * 86_400_000_000, days, _INFINITE_DAYS)
    if pa.types.is_time32(kind):
        return _numpy(values, np.int32).astype(np.int64) * _MICROSECONDS[kind.unit]
    raw = _numpy(values, np.int64)
    unit = "ms" if pa.types.is_date64(kind) else kind.unit
    scaled = raw // 1_000 if unit == "ns" else raw * _MICROSECONDS[unit]
    return _with_infinities(scaled, raw, _INFINITY) if pa.types.is_timestamp(kind) else scaled


def _with_infinities(
    scaled: npt.NDArray[np.int64], raw: npt.NDArray[np.int64], infinity: int
) -> npt.NDArray[np.int64]:
    scaled[raw == infinity] = _INFINITY
    scaled[raw == -infinity] = -_INFINITY
    return scaled


def _bytes(given: pa.Array) -> Words:
    values = given.cast(pa.large_binary())
    rows = len(values)
    _, offset_buffer, data_buffer = values.buffers()
    if rows == 0 or offset_buffer is None:
        return np.full(rows, _NULL)
    offsets = np.frombuffer(offset_buffer, np.int64)[values.offset : values.offset + rows + 1]
    starts, lengths = offsets[:-1], np.diff(offsets)
    first, last = int(offsets[0]), int(offsets[-1])
    text = np.zeros(last - first + 8, np.uint8)
    if last > first:
        text[:-8] = np.frombuffer(data_buffer, np.uint8)[first:last]
    words = _short_bytes(text, starts - first, lengths)
    for row in np.flatnonzero(lengths > _LONG_BYTES):
        words[row] = _digest(
            text[starts[row] - first : starts[row] - first + lengths[row]].tobytes()
        )
    return words


def _short_bytes(
    text: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> Words:
    """Folds all strings word by word; `text` has 8 bytes of padding behind its last string."""
    # Overlapping unaligned words: the word at any byte position without copying.
    at = np.ndarray((len(text) - 7,), np.dtype("<u8"), text.data, 0, (1,))
    words = _mix(lengths.astype(np.uint64) + np.uint64(1))
    rows = np.flatnonzero((lengths > 0) & (lengths <= _LONG_BYTES))
    position = 0
    while len(rows):
        left = lengths[rows] - position
        word = at[starts[rows] + position]
        short = left < 8
        word[short] &= (np.uint64(1) << (left[short].astype(np.uint64) * np.uint64(8))) - np.uint64(
            1
        )
        words[rows] = _mix((words[rows] ^ word) + _GOLDEN)
        position += 8
        rows = rows[left > 8]
    return words


def _intervals(values: pa.Array) -> Words:
    raw = _numpy(values, _INTERVAL)
    days = raw["months"].astype(np.int64) * 30 + raw["days"]
    return _mix(days.view(np.uint64) * _DAY + (raw["nanoseconds"] // 1_000).view(np.uint64))


def _structs(values: pa.StructArray) -> Words:
    fields = values.flatten()
    return hash_rows(fields) if fields else np.zeros(len(values), np.uint64)


def _maps(values: pa.MapArray) -> Words:
    entries = pa.StructArray.from_arrays([values.keys, values.items], names=["key", "value"])
    return _lists(pa.ListArray.from_arrays(values.offsets, entries))


def _lists(values: pa.Array) -> Words:
    import pyarrow.compute as pc  # noqa: PLC0415  # takes 20 ms, for few keys

    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy().astype(np.int64)
    starts = np.cumsum(lengths) - lengths
    inner = hash_column(values.flatten())  # nothing of what lies under a null
    words = _mix(lengths.astype(np.uint64) + np.uint64(1))
    rows = np.flatnonzero((lengths > 0) & (lengths <= _LONG_LIST))
    position = 0
    while len(rows):
        words[rows] = _mix(words[rows] * np.uint64(31) + inner[starts[rows] + position])
        position += 1
        rows = rows[lengths[rows] > position]
    for row in np.flatnonzero(lengths > _LONG_LIST):
        long = inner[starts[row] : starts[row] + lengths[row]]
        words[row] = _digest(long.astype("<u8").tobytes())
    return words


_WORDS: Final[tuple[tuple[Callable[[pa.DataType], bool], Callable[[Any], Words]], ...]] = (
    (pa.types.is_boolean, _booleans),
    (pa.types.is_integer, _integers),
    (pa.types.is_decimal, _decimals),
    (pa.types.is_floating, _floats),
    (pa.types.is_interval, _intervals),
    (_is_moment, _moments),
    (_is_bytes, _bytes),
    (pa.types.is_struct, _structs),
    (pa.types.is_map, _maps),
    (_is_list, _lists),
)


def partition_batch(
    batch: pa.RecordBatch, keys: Sequence[int], partitions: int
) -> list[tuple[int, pa.RecordBatch]]:
    """A batch's rows by reduce partition, in ascending order; partitions without rows left out.

    Args:
        batch: any batch.
        keys: positions of the key columns.
        partitions: how many.

    Raises:
        UnsupportedPlan: a key type that has no hash.
    """
    if batch.num_rows == 0:
        return []
    if not keys or partitions == 1:
        return [(0, batch)]
    rows = partition_of_rows([batch.column(key) for key in keys], partitions)
    # The narrowest integers: numpy sorts 16-bit ones by radix, in linear time.
    narrow = rows.astype(np.uint16) if partitions <= 1 << 16 else rows
    order = np.argsort(narrow, kind="stable")
    counts = np.bincount(rows, minlength=partitions)
    ordered = batch.take(pa.array(order))
    parts: list[tuple[int, pa.RecordBatch]] = []
    start = 0
    for partition in np.flatnonzero(counts):
        count = int(counts[partition])
        parts.append((int(partition), ordered.slice(start, count)))
        start += count
    return parts


__all__ = ["hash_column", "hash_rows", "partition_batch", "partition_of_rows"]
