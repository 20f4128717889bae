# numba reads these functions, a type checker can't.
# mypy: ignore-errors
"""The compiled loops over a dump's bytes. Arrays in, arrays out; nothing is decided here.

Imported where it is used: importing numba takes half a second. Frames of text are parsed by a template made from
one frame's head (`lampion.trajectory.text`), so that a head costs no Python.
"""

import numba
import numpy as np

# How a call ended.
DONE, HEAD, FULL, CUT, TROUBLE = range(5)

POWERS = np.array([10.0**k for k in range(23)])
EXACT = np.uint64(2**53)
ZERO = np.uint8(48)
ONE, TWO, THREE, SIX, TEN, LOW = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(6), np.uint64(10), np.uint64(63)
PRIME = np.uint64(1099511628211)
TOP = np.uint64(1 << 63)
_SPLITTER = 134217729.0  # 2^27 + 1


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _scaled(w, negative_power):
    """Return w / 10^k to the last bit: the quotient of the rounded w, corrected by its remainder (Dekker 1971)."""
    divisor = POWERS[negative_power]
    high = np.float64(w)
    quotient = high / divisor
    if w <= EXACT:
        return quotient
    low = np.float64(np.int64(w - np.uint64(high)))
    t = _SPLITTER * quotient
    a1 = t - (t - quotient)
    a2 = quotient - a1
    t = _SPLITTER * divisor
    b1 = t - (t - divisor)
    b2 = divisor - b1
    product = quotient * divisor
    error = ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2
    return quotient + ((high - product) - error + low) / divisor


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _magnitude(w, power):
    if -22 <= power <= 0:
        return _scaled(w, -power)
    value = np.float64(w)
    if power > 400 or power < -400:
        return value * (0.0 if power < 0 else np.inf) if w else 0.0
    while power > 0:
        step = min(power, 22)
        value *= POWERS[step]
        power -= step
    while power < 0:
        step = min(-power, 22)
        value /= POWERS[step]
        power += step
    return value


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _long(buffer, start, stop):
    """Return the first 19 digits that count, as a whole number, and its power of ten."""
    w = np.uint64(0)
    power = 0
    taken = 0
    after_point = False
    for j in range(start, stop):
        if buffer[j] == 46:
            after_point = True
        elif taken < 19:
            w = w * TEN + np.uint64(buffer[j] - ZERO)
            taken += 1 if w else 0
            power -= 1 if after_point else 0
        elif not after_point:
            power += 1
    return w, power


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _number(buffer, i):
    """Parse the number at i; return it, the position behind it, and whether there was one.

    The buffer must hold a byte that is not of a number (a newline) at or behind its last number. Positions are
    unsigned, so that numba needn't look for negative ones.
    """
    negative = buffer[i] == 45
    if negative or buffer[i] == 43:
        i += ONE
    start = i
    w = np.uint64(0)
    power = 0
    digit = np.uint8(buffer[i] - ZERO)
    while digit < 10:
        w = w * TEN + np.uint64(digit)
        i += ONE
        digit = np.uint8(buffer[i] - ZERO)
    n_digits = i - start
    if buffer[i] == 46:
        i += ONE
        point = i
        digit = np.uint8(buffer[i] - ZERO)
        while digit < 10:
            w = w * TEN + np.uint64(digit)
            i += ONE
            digit = np.uint8(buffer[i] - ZERO)
        n_digits += i - point
        power = -np.int64(i - point)
    if n_digits == 0:
        c0, c1, c2 = buffer[start] | 32, buffer[start + ONE] | 32, buffer[start + TWO] | 32
        if c0 == 110 and c1 == 97 and c2 == 110:
            return np.nan, start + THREE, True
        if c0 == 105 and c1 == 110 and c2 == 102:
            return np.inf, start + THREE, True
        return 0.0, i, False
    if n_digits > 19:
        w, power = _long(buffer, start, i)
    if buffer[i] | 32 == 101:
        i += ONE
        down = buffer[i] == 45
        if down or buffer[i] == 43:
            i += ONE
        first = i
        exponent = 0
        digit = np.uint8(buffer[i] - ZERO)
        while digit < 10:
            exponent = min(exponent * 10 + np.int64(digit), 100000)
            i += ONE
            digit = np.uint8(buffer[i] - ZERO)
        if i == first:
            return 0.0, i, False
        power += -exponent if down else exponent
    value = _magnitude(w, power)
    return (-value if negative else value), i, True


@numba.njit(nogil=True, cache=True, error_model="numpy")
def parse_frames(
    buffer, start, end, literal, segments, n_rows, roles, n_finite, cell, cell_at, n_bounds, first_id, slots, kinds,
    codes, heads, values, ids, labels,
):  # fmt: skip
    """Parse frames that look like the template; return how it ended and where.

    Args:
        buffer: uint8; the byte behind `end` must exist.
        start: where the first frame begins.
        end: where the bytes end.
        literal: uint8, the fixed lines of the head, one after the other.
        segments: (n_segments, 2) int64; (begin, stop) in `literal`, or (-1, n) for a line of n numbers.
        n_rows: atoms in a frame.
        roles: (n_columns,) int64; -3 unused, -2 label, -1 id, else its place among the values.
        n_finite: the first so many values must be finite.
        cell: (3, 3) float64 to apply the values 3, 4, 5, image flags, to the values 0, 1, 2, and to drop them;
            (0, 3) to keep all.
        cell_at: where the bounds of the cell are among the head's numbers.
        n_bounds: so many of them must stay as they are in the first frame.
        first_id: id at slots[0].
        slots: int32, row of an id, -1 if there is none; empty to keep the rows in order (then only one frame).
        kinds: (n_rows,) uint16, place of each atom's label in `codes`.
        codes: uint64, the labels.
        heads: (n_frames, n_numbers) float64, out.
        values: (n_frames, n_rows, n_values) float64, out.
        ids: (n_rows,) int64, out if `slots` is empty.
        labels: (n_rows,) uint64, out if `slots` is empty.

    Returns:
        How it ended, frames parsed, and where the next frame begins, which is the one in trouble if there is trouble.
    """
    i = np.uint64(start)
    end = np.uint64(end)
    # The id that says where the values go may stand behind them.
    apply = len(cell) == 3
    n_dropped = 3 if apply else 0
    waiting = np.empty(values.shape[2] + n_dropped)
    n_slots = np.uint64(len(slots))
    # One bit for each atom stays in the first-level cache.
    seen = np.zeros(n_rows // 64 + 1, dtype=np.uint64)
    for f in range(len(heads)):
        begin = i
        seen[:] = 0
        if i >= end:
            return DONE, f, begin
        k = 0
        for s in range(len(segments)):
            if segments[s, 0] >= 0:
                for j in range(segments[s, 0], segments[s, 1]):
                    if i >= end or buffer[i] != literal[j]:
                        return HEAD, f, begin
                    i += ONE
                continue
            for _ in range(segments[s, 1]):
                while buffer[i] == 32 or buffer[i] == 9:
                    i += ONE
                value, i, good = _number(buffer, i)
                if not good or i >= end or not np.isfinite(value):
                    return HEAD, f, begin
                heads[f, k] = value
                k += 1
            while buffer[i] == 32 or buffer[i] == 9 or buffer[i] == 13:
                i += ONE
            if i >= end or buffer[i] != 10:
                return HEAD, f, begin
            i += ONE
        for j in range(cell_at, cell_at + n_bounds):
            if heads[f, j] != heads[0, j]:
                return HEAD, f, begin
        for row in range(n_rows):
            if i >= end:
                return CUT, f, begin
            slot = np.uint64(row)
            label = np.uint64(0)
            for column in range(len(roles)):
                while buffer[i] == 32 or buffer[i] == 9:
                    i += ONE
                role = roles[column]
                if buffer[i] == 10 or buffer[i] == 13:
                    return (CUT if i >= end else TROUBLE), f, begin
                if role == -3:
                    while buffer[i] > 32:
                        i += ONE
                elif role == -2:
                    first = i
                    while buffer[i] > 32:
                        if i - first < 8:
                            label |= np.uint64(buffer[i]) << ((i - first) << THREE)
                        else:
                            # The top bit says that this isn't the text itself.
                            label = ((label ^ np.uint64(buffer[i])) * PRIME) | TOP
                        i += ONE
                else:
                    # Plain numbers are parsed here: handing the array to a function costs more than the number.
                    at = i
                    negative = buffer[i] == 45
                    if negative:
                        i += ONE
                    first = i
                    w = np.uint64(0)
                    digit = np.uint8(buffer[i] - ZERO)
                    while digit < 10:
                        w = w * TEN + np.uint64(digit)
                        i += ONE
                        digit = np.uint8(buffer[i] - ZERO)
                    n_digits = i - first
                    n_places = np.uint64(0)
                    if buffer[i] == 46:
                        i += ONE
                        point = i
                        digit = np.uint8(buffer[i] - ZERO)
                        while digit < 10:
                            w = w * TEN + np.uint64(digit)
                            i += ONE
                            digit = np.uint8(buffer[i] - ZERO)
                        n_places = i - point
                        n_digits += n_places
                    if buffer[i] <= 32 and 0 < n_digits < 16:
                        value = np.float64(w) / POWERS[n_places]
                        value = -value if negative else value
                    else:
                        value, i, good = _number(buffer, at)
                        if not good or buffer[i] > 32:
                            return TROUBLE, f, begin
                    if role >= 0:
                        if role < n_finite and not np.isfinite(value):
                            return TROUBLE, f, begin
                        waiting[role] = value
                        continue
                    if not abs(value) < 9e15 or value != np.floor(value):
                        return TROUBLE, f, begin
                    if n_slots == 0:
                        ids[row] = np.int64(value)
                        continue
                    offset = np.uint64(np.int64(value) - first_id)
                    if offset >= n_slots or slots[offset] < 0:
                        return TROUBLE, f, begin
                    slot = np.uint64(slots[offset])
                    bit = ONE << (slot & LOW)
                    if seen[slot >> SIX] & bit:
                        return TROUBLE, f, begin
                    seen[slot >> SIX] |= bit
            while buffer[i] == 32 or buffer[i] == 9 or buffer[i] == 13:
                i += ONE
            if i >= end:
                return CUT, f, begin
            if buffer[i] != 10:
                return TROUBLE, f, begin
            i += ONE
            if apply:
                n0, n1, n2 = waiting[3], waiting[4], waiting[5]
                if not abs(n0) + abs(n1) + abs(n2) < 1e9 or n0 + n1 + n2 != np.floor(n0) + np.floor(n1) + np.floor(
                    n2
                ):
                    return TROUBLE, f, begin
                for j in range(3):
                    values[f, slot, j] = waiting[j] + (n0 * cell[0, j] + n1 * cell[1, j] + n2 * cell[2, j])
                for j in range(6, len(waiting)):
                    values[f, slot, j - 3] = waiting[j]
            else:
                for j in range(len(waiting)):
                    values[f, slot, j] = waiting[j]
            if n_slots == 0:
                labels[slot] = label
            elif codes[kinds[slot]] != label:
                return TROUBLE, f, begin
    return (DONE if i >= end else FULL), len(heads), i
