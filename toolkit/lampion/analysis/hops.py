"""Hops between sites: who is where, how long, how often, and whether the next hop remembers the last."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lampion.analysis.msd import atom_indices, checked_positions, checked_times
from lampion.analysis.pairs import half_width, nearest_image
from lampion.analysis.statistics import Estimate
from lampion.errors import AnalysisError

Array = NDArray[np.float64]
Integers = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Hops:
    """Hop statistics of ions on sites; flicker is filtered out."""

    site_of: Integers
    """(n_frames, n_ions): the site that each ion belongs to, held between sites; −1 before its first."""
    events: Integers
    """(n_hops, 4): frame, ion, from, to; ordered by ion, then frame."""
    rate: Estimate
    """Hops of one ion per ps."""
    residence: Estimate
    """ps: mean time on a site, n_ions · T/n_hops, so that visits cut by the run's ends count right."""
    mean_square_length: float
    """Å², of one hop between the sites."""
    correlation_factor: Estimate | None
    """f = (1 + ⟨cos θ⟩)/(1 − ⟨cos θ⟩), θ between consecutive hops of an ion: one for a random walk; None with
    fewer than two hops in a row in any block."""
    occupancy: Array
    """(n_sites,), mean number of ions."""
    edges: Integers
    """(n_edges, 2): the jump network, from and to."""
    counts: Integers
    """(n_edges,), hops along each edge."""
    edge_rates: Array
    """(n_edges,), 1/ps: hops along each edge for the time that its first site was occupied."""
    edge_rate_errors: Array
    """(n_edges,), 1/ps, one standard error from time blocks, never below that of Poisson's counts."""
    n_flickers: int
    """Visits shorter than the dwell time that were not counted."""
    unassigned: float
    """Share of (frame, ion) further than the radius from every site."""
    flags: tuple[str, ...]
    reference: str = "as given"
    """What displacements are relative to, and what speaks against that."""


def hops(
    positions: ArrayLike,
    times: ArrayLike,
    cells: ArrayLike,
    sites: ArrayLike,
    *,
    radius: float = 1.0,
    dwell: float = 0.0,
    atoms: ArrayLike | None = None,
    drift: ArrayLike | None = None,
    n_blocks: int = 8,
) -> Hops:
    """Return the hops of ions between sites.

    An ion belongs to a site until it has spent `dwell` more elsewhere than there, and `dwell` at one other site, to
    which it then hops; shorter visits are flicker (recrossing, rattling at a boundary), at the beginning too. A hop
    is dated at the first visit of the stay. Its vector joins the images of the two sites that the ion was at: in a
    small cell the nearest image of a site half a cell away may be the other one.

    Args:
        positions: (n_frames, n_atoms, 3), Å, unwrapped.
        times: (n_frames,), ps, evenly spaced.
        cells: (3, 3) or (n_frames, 3, 3), Å.
        sites: (n_sites, 3), Å, Cartesian, in the first cell; given, or from `density.find_sites`.
        radius: Å, below half the distance between neighbouring sites.
        dwell: ps.
        atoms: indices or mask of the ions.
        drift: (n_frames, 3), Å, of the framework, subtracted.
        n_blocks: time blocks for the errors.

    Raises:
        AnalysisError: sites closer than 2 · radius, arrays that don't fit, or fewer frames than two a block.
    """
    x = checked_positions(positions)
    boxes = np.broadcast_to(np.asarray(cells, dtype=float), (len(x), 3, 3))
    places = np.asarray(sites, dtype=float)
    index = atom_indices(atoms, x.shape[1])
    if len(x) < 2 * n_blocks:
        raise AnalysisError(f"needed: {2 * n_blocks} frames, got {len(x)}")
    dt = checked_times(times, len(x))
    _check_sites(places, boxes, radius)
    path = np.zeros((len(x), 3)) if drift is None else np.asarray(drift, dtype=float)
    raw = _nearest_sites(x, index, boxes, places, radius, path)
    stay = max(1, round(dwell / dt))
    histories = [_without_flicker(raw[:, ion], stay) for ion in range(len(index))]
    site_of = np.stack([history for history, _ in histories], axis=1)
    events = _events(site_of)
    vectors = _vectors(events, raw, x, index, boxes, places, path)
    flickers = sum(count for _, count in histories)
    unassigned = float((raw < 0).mean())
    edges, counts = np.unique(events[:, 2:], axis=0, return_counts=True)
    occupied = np.bincount(site_of[site_of >= 0], minlength=len(places)) * dt
    edge_errors = _edge_errors(events, edges, counts, len(x), n_blocks)
    rate, residence = _rates(events, len(x), len(index), dt, n_blocks)
    flags = []
    if len(events) < 50:
        flags.append(f"only {len(events)} hops: rate and network are rough")
    if unassigned > 0.2:
        flags.append(f"{unassigned:.0%} of the time ions are over {radius:g} Å from every site: sites are missing")
    return Hops(
        site_of=site_of,
        events=events,
        rate=rate,
        residence=residence,
        mean_square_length=float((vectors**2).sum(axis=1).mean()) if len(events) else 0.0,
        correlation_factor=_correlation_factor(events, vectors, len(x), n_blocks),
        occupancy=np.bincount(site_of[site_of >= 0], minlength=len(places)) / len(x),
        edges=edges.astype(np.intp),
        counts=counts.astype(np.intp),
        edge_rates=counts / np.maximum(occupied[edges[:, 0]], dt),
        edge_rate_errors=edge_errors / np.maximum(occupied[edges[:, 0]], dt),
        n_flickers=flickers,
        unassigned=unassigned,
        flags=tuple(flags),
    )


def _check_sites(places: Array, boxes: Array, radius: float) -> None:
    if places.ndim != 2 or places.shape[1] != 3 or len(places) < 2:
        raise AnalysisError(f"hops need two or more sites, (n_sites, 3), got {places.shape}")
    if radius > half_width(boxes):
        raise AnalysisError(f"the radius {radius:g} Å exceeds half the cell's smallest width; lower it")
    apart = np.linalg.norm(nearest_image(places[:, None] - places[None], boxes[0]), axis=2)
    np.fill_diagonal(apart, np.inf)
    if apart.min() < 2 * radius * (1 - 1e-6):
        a, b = np.unravel_index(int(apart.argmin()), apart.shape)
        raise AnalysisError(
            f"sites {a} and {b} are {apart.min():.3g} Å apart, closer than two radii of {radius:g} Å; lower them"
        )


def _nearest_sites(x: Array, index: Integers, boxes: Array, places: Array, radius: float, path: Array) -> Integers:
    """Return (n_frames, n_ions): the site within `radius`, −1 where there is none."""
    found = np.full((len(x), len(index)), -1, dtype=np.intp)
    # Sites move with the cell.
    scaled = places @ np.linalg.inv(boxes[0])
    for frame in range(len(x)):
        here = x[frame, index] - path[frame]
        distance = np.linalg.norm(nearest_image(here[:, None] - (scaled @ boxes[frame])[None], boxes[frame]), axis=2)
        nearest = distance.argmin(axis=1)
        close = distance[np.arange(len(index)), nearest] <= radius
        found[frame, close] = nearest[close]
    return found


def _without_flicker(raw: Integers, stay: int) -> tuple[Integers, int]:
    """Return the site held at each frame, and the number of visits elsewhere that did not count.

    Time at other sites counts up, time at the one that is held counts down; at zero the visits so far were flicker.
    When it reaches `stay`, and one other site alone has had so much, the ion has hopped there. Frames in transit
    count for nobody.
    """
    frames = np.flatnonzero(raw >= 0)
    held = np.full(len(raw), -1, dtype=np.intp)
    if not len(frames):
        return held, 0
    sites = raw[frames]
    starts = np.flatnonzero(np.append(True, sites[1:] != sites[:-1]))
    lengths = np.diff(np.append(starts, len(sites)))
    current, begin, away, flickers = -1, 0, 0, 0
    spent: dict[int, int] = {}
    since: dict[int, int] = {}
    visits: dict[int, int] = {}
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        site = int(sites[start])
        if site == current:
            away -= length
            if away > 0:
                continue
            flickers, away = flickers + sum(visits.values()), 0
        else:
            away += length
            spent[site] = spent.get(site, 0) + length
            visits[site] = visits.get(site, 0) + 1
            since.setdefault(site, int(frames[start]))
            if away < stay or spent[site] < stay:
                continue
            held[begin : since[site]] = current
            flickers += sum(visits.values()) - visits[site]
            current, begin, away = site, since[site], 0
        spent, since, visits = {}, {}, {}
    if current < 0:
        # Nowhere long enough: where it was most.
        current = max(spent, key=lambda site: spent[site])
        begin = int(frames[0])
        visits.pop(current)
    held[begin:] = current
    return held, flickers + sum(visits.values())


def _vectors(
    events: Integers, raw: Integers, x: Array, index: Integers, boxes: Array, places: Array, path: Array
) -> Array:
    """Return (n_hops, 3), Å: from the image of the old site that the ion was last at to that of the new one."""
    scaled = places @ np.linalg.inv(boxes[0])

    def image(frame: int, ion: int, site: int) -> Array:
        here = x[frame, index[ion]] - path[frame]
        place = scaled[site] @ boxes[frame]
        return np.asarray(here + nearest_image((place - here)[None], boxes[frame])[0])

    vectors = np.zeros((len(events), 3))
    for number, (frame, ion, before, after) in enumerate(events):
        left = frame - 1 - int(np.argmax(raw[frame - 1 :: -1, ion] == before))
        vectors[number] = image(frame, ion, after) - image(left, ion, before)
    return vectors


def _events(site_of: Integers) -> Integers:
    before, after = site_of[:-1], site_of[1:]
    ion, frame = np.nonzero(((before != after) & (before >= 0)).T)
    return np.stack([frame + 1, ion, before[frame, ion], after[frame, ion]], axis=1)


def _edge_errors(events: Integers, edges: Integers, counts: Integers, n_frames: int, n_blocks: int) -> Array:
    """Return the standard error of the number of hops along each edge, (n_edges,)."""
    block = np.minimum((events[:, 0] - 1) * n_blocks // max(1, n_frames - 1), n_blocks - 1)
    by_block = np.zeros((len(edges), n_blocks))
    which = {tuple(edge): number for number, edge in enumerate(edges.tolist())}
    for (before, after), when in zip(events[:, 2:].tolist(), block, strict=True):
        by_block[which[before, after], when] += 1
    return np.asarray(np.maximum(by_block.std(axis=1, ddof=1) * math.sqrt(n_blocks), np.sqrt(counts)), dtype=float)


def _rates(events: Integers, n_frames: int, n_ions: int, dt: float, n_blocks: int) -> tuple[Estimate, Estimate]:
    """Return the rate and its inverse; errors from the counts in time blocks."""
    counts = np.histogram(events[:, 0], np.linspace(1, n_frames, n_blocks + 1))[0]
    exposure = n_ions * (n_frames - 1) * dt
    value = len(events) / exposure
    # Where few hops were seen, the blocks' scatter underestimates: never below the Poisson error of one hop.
    error = max(float(counts.std(ddof=1)) * math.sqrt(n_blocks), 1.0) / exposure
    rate = Estimate(
        value=value,
        standard_error=error,
        unit="1/ps",
        n_samples=n_blocks,
        method=f"{len(events)} hops in {n_blocks} blocks",
    )
    residence = Estimate(
        value=1 / value if value else math.inf,
        standard_error=error / value**2 if value else math.inf,
        unit="ps",
        n_samples=n_blocks,
        method=rate.method,
    )
    return rate, residence


def _correlation_factor(events: Integers, vectors: Array, n_frames: int, n_blocks: int) -> Estimate | None:
    """Return f from the cosine between consecutive hops (Compaan & Haven 1956, doi 10.1039/tf9565200786)."""
    same = events[1:, 1] == events[:-1, 1]
    if not same.any():
        return None
    product = (vectors[1:] * vectors[:-1]).sum(axis=1)[same]
    norm = np.linalg.norm(vectors[1:], axis=1)[same] * np.linalg.norm(vectors[:-1], axis=1)[same]
    cosine, frame = product / norm, events[1:, 0][same]
    block = np.minimum((frame - 1) * n_blocks // (n_frames - 1), n_blocks - 1)
    if len(np.unique(block)) < n_blocks:
        return None
    mean = float(cosine.mean())
    error = float(np.std([cosine[block == b].mean() for b in range(n_blocks)], ddof=1)) / math.sqrt(n_blocks)
    if mean >= 1:
        return None
    return Estimate(
        value=(1 + mean) / (1 - mean),
        standard_error=2 * error / (1 - mean) ** 2,
        unit="",
        n_samples=n_blocks,
        method=f"⟨cos θ⟩ of {len(cosine)} pairs of consecutive hops; exact where only the next hop remembers",
    )
