# numba reads this function, a type checker can't.
# mypy: ignore-errors
"""The compiled loop over the bytes of a binary dump. Imported where it is used, as `lampion.trajectory.kernel` is."""

import numba
import numpy as np

from lampion.trajectory.kernel import DONE, HEAD, LOW, ONE, SIX, TROUBLE


@numba.njit(nogil=True, cache=True, error_model="numpy")
def take_frames(
    buffer, at, pattern, fixed, numbers, step_at, n_chunks, roles, n_finite, cell, n_bounds, first_id, slots, kinds,
    codes, steps, heads, values, labelled,
):  # fmt: skip
    """Take frames of a binary dump whose heads are like the pattern; return how it ended, frames taken, and where.

    Args:
        buffer: uint8.
        at: where the first frame begins.
        pattern: (n,) uint8, a head.
        fixed: (n,) bool, its bytes that must be the same in all frames.
        numbers: where in the head its float64 are.
        step_at: where in the head the step is.
        n_chunks: chunks of a frame.
        roles: (n_columns,) as in `parse_frames`.
        n_finite: as in `parse_frames`.
        cell: as in `parse_frames`.
        n_bounds: so many of the head's first numbers must stay as they are in the first frame.
        first_id: id at slots[0].
        slots: as in `parse_frames`, not empty.
        kinds: (n_rows,) uint16, place of each atom's label in `codes`.
        codes: float64, the labels.
        steps: (n_frames,) int64, out.
        heads: (n_frames, n_numbers) float64, out.
        values: (n_frames, n_rows, n_values) float64, out.
        labelled: whether a column is a label.
    """
    n_columns = len(roles)
    n_rows = len(kinds)
    apply = len(cell) == 3
    seen = np.zeros(n_rows // 64 + 1, dtype=np.uint64)
    n_slots = np.uint64(len(slots))
    small = np.empty(8, dtype=np.uint8)
    id_at = 0
    label_at = 0
    places = np.empty(values.shape[2] + (3 if apply else 0), dtype=np.int64)
    waiting = np.empty(len(places))
    for column in range(n_columns):
        if roles[column] == -1:
            id_at = column
        elif roles[column] == -2:
            label_at = column
        elif roles[column] >= 0:
            places[roles[column]] = column
    for f in range(len(steps)):
        begin = at
        seen[:] = 0
        for j in range(len(pattern)):
            if fixed[j] and buffer[at + j] != pattern[j]:
                return HEAD, f, begin
        small[:] = buffer[at + step_at : at + step_at + 8]
        steps[f] = small.view(np.int64)[0]
        for k in range(len(numbers)):
            small[:] = buffer[at + numbers[k] : at + numbers[k] + 8]
            heads[f, k] = small.view(np.float64)[0]
        for j in range(n_bounds):
            if heads[f, j] != heads[0, j]:
                return HEAD, f, begin
        at += len(pattern)
        left = n_rows
        for _ in range(n_chunks):
            small[:4] = buffer[at : at + 4]
            n = small.view(np.int32)[0]
            if n < 0 or n % n_columns or n // n_columns > left:
                return TROUBLE, f, begin
            at += 4
            n_left = n // n_columns
            left -= n_left
            # The values aren't aligned to 8 bytes, which neither x86-64 nor ARM64 asks for.
            rows = buffer[at : at + 8 * n].view(np.float64)
            at += 8 * n
            for row in range(n_left):
                base = row * n_columns
                identity = rows[base + id_at]
                if not abs(identity) < 9e15 or identity != np.floor(identity):
                    return TROUBLE, f, begin
                offset = np.uint64(np.int64(identity) - first_id)
                if offset >= n_slots or slots[offset] < 0:
                    return TROUBLE, f, begin
                slot = np.uint64(slots[offset])
                bit = ONE << (slot & LOW)
                if seen[slot >> SIX] & bit:
                    return TROUBLE, f, begin
                seen[slot >> SIX] |= bit
                if labelled and rows[base + label_at] != codes[kinds[slot]]:
                    return TROUBLE, f, begin
                for j in range(len(places)):
                    value = rows[base + places[j]]
                    if j < n_finite and not np.isfinite(value):
                        return TROUBLE, f, begin
                    waiting[j] = value
                if apply:
                    n0, n1, n2 = waiting[3], waiting[4], waiting[5]
                    if not abs(n0) + abs(n1) + abs(n2) < 1e9 or n0 + n1 + n2 != np.floor(n0) + np.floor(
                        n1
                    ) + np.floor(n2):
                        return TROUBLE, f, begin
                    for j in range(3):
                        values[f, slot, j] = waiting[j] + (n0 * cell[0, j] + n1 * cell[1, j] + n2 * cell[2, j])
                    for j in range(6, len(waiting)):
                        values[f, slot, j - 3] = waiting[j]
                else:
                    for j in range(len(waiting)):
                        values[f, slot, j] = waiting[j]
        if left:
            return TROUBLE, f, begin
    return DONE, len(steps), at
