"""Measure which wrong contours the ranking finds: real small organs of held-out patients, corrupted in graded ways.

    python benchmarks/qa_corruptions.py DATA/tcia-oars --rows ROWS [--images docs/images]

Every contour of the 8 held-out patients (the oncologist's) is scored as it is and with each corruption, among its true neighbours. AUC: the
chance that a corrupted contour is scored higher than a real one of the same organ (0.5 is chance). Beside it the plain volume check. Also: how
often a real contour of any organ is flagged (false alarms). ROWS keeps each scan's scores, so that plots and tables can be made again in seconds.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation"))

from focusnet.datasets.organ_boxes import SMALL
from focusnet.datasets.tcia_oars import ANNOTATORS, TciaOars
from focusnet.image.organs import mirrored as other_side
from focusnet.image.organs import without_side
from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Geometry
from focusnet.qa.measure import Measured, measure, measure_all
from focusnet.qa.ranking import rank_organs
from focusnet.qa.reference_statistics import load_reference_statistics
from focusnet.qa.shape_model import ShapeModel, load_shape_model
from focusnet.qa.size_scores import extent_score, gaps_score, holes_score, parts_score, volume_score
from focusnet.qa.spatial_relations import asymmetry_score, position_score, touch_score

MARGIN_MM = 24.0
SHAPE = ("shape_dsc", "shape_surface", "shape_latent")
COLUMNS = ("all", "volume", *SHAPE, "extent", "parts", "slice_gaps", "asymmetry", "position", "touch")
Corrupt = Callable[[np.ndarray, Geometry, np.random.Generator], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--scans", nargs="*", help="only these: several processes share the work")
    parser.add_argument("--images", type=Path)
    parser.add_argument("--shape-model", default="shapes-tcia-oars")
    options = parser.parse_args()
    content = {"corrupted": [], "real": []}
    dataset = TciaOars(options.data)
    options.rows.mkdir(parents=True, exist_ok=True)
    for scan in options.scans or dataset.scans["held-out"]:
        path = options.rows / f"{scan}.json"
        if not path.is_file():
            path.write_text(json.dumps(scan_rows(dataset, scan, load_shape_model(options.shape_model))))
        for key, rows in json.loads(path.read_text()).items():
            content[key] += rows
    print_aucs(content["corrupted"])
    print_false_alarms(content["real"])
    if options.images:
        options.images.mkdir(parents=True, exist_ok=True)
        from qa_plots import plot_aucs, plot_rocs

        plot_aucs(content["corrupted"], options.images / "qa-auc.png")
        plot_rocs(content["corrupted"], options.images / "qa-roc.png")


def scan_rows(dataset: TciaOars, scan: str, prior: ShapeModel) -> dict[str, list[dict]]:
    first, second = ((annotator, dataset.segmentation(scan, annotator)) for annotator in ANNOTATORS)
    return {
        "corrupted": list(corrupted_rows(first[1], scan, first[0], prior)),
        "real": [row for annotator, contours in (first, second) for row in real_rows(contours, scan, annotator, prior)],
    }


def corruptions(other: np.ndarray) -> dict[str, Corrupt]:
    """Return the corruptions by name. ``other``: another organ's mask on a grid of the same shape, for "wrong organ"."""
    out: dict[str, Corrupt] = {}
    for mm in (1, 2, 3, 5):
        out[f"shift {mm} mm"] = lambda m, g, r, mm=mm: shifted(m, g, direction(r) * mm)
    for factor in (0.8, 0.5):
        out[f"shrink to {factor:g}"] = lambda m, g, r, f=factor: scaled(m, f)
    for factor in (1.2, 1.4):
        out[f"grow to {factor:g}"] = lambda m, g, r, f=factor: scaled(m, f)
    out["slice missing"] = lambda m, g, r: without_slices(m, r, inner=True)
    out["end cut off"] = lambda m, g, r: without_slices(m, r, inner=False)
    for mm in (4,):
        out[f"leak {mm} mm"] = lambda m, g, r, mm=mm: leaked(m, g, r, mm)
    for mm in (2,):
        out[f"blob {mm} mm"] = lambda m, g, r, mm=mm: with_blob(m, g, r, mm)
    out["mirrored"] = lambda m, g, r: mirrored(m)
    out["wrong organ"] = lambda m, g, r: other
    return out


def corrupted_rows(segmentation: Segmentation, scan: str, annotator: str, prior: ShapeModel) -> Iterator[dict]:
    geometry = segmentation.geometry
    organs = measure_all(segmentation.labels, geometry, segmentation)
    for name in SMALL:
        if name not in organs:
            continue
        rng = np.random.default_rng([*name.encode(), *scan.encode(), *annotator.encode()])
        window, part = window_of(organs[name], geometry, segmentation.labels.shape)
        mask = np.zeros(part.shape_zyx, bool)
        inner = tuple(slice(b.start - w.start, b.stop - w.start) for b, w in zip(organs[name].box, window, strict=True))
        mask[inner] = organs[name].mask
        stranger = {"Lens": "Cochlea", "Cochlea": "Lens", "OpticNrv": "Glnd_Lacrimal", "Glnd_Lacrimal": "OpticNrv"}[
            without_side(name)
        ] + name[-2:]
        other = placed(organs[stranger], mask) if stranger in organs else mask
        for what, change in {"real": lambda m, g, r: m, **corruptions(other)}.items():
            if what == "wrong organ" and stranger not in organs:
                continue
            wrong = change(mask, part, rng)
            base = {"scan": scan, "annotator": annotator, "organ": without_side(name), "what": what}
            if not wrong.any():
                yield {**base, **dict.fromkeys(COLUMNS, 10.0)}  # nothing left: an empty segment, always flagged
                continue
            yield {**base, **scores(name, wrong, part, organs, prior)}


def scores(
    name: str, mask: np.ndarray, geometry: Geometry, organs: dict[str, Measured], prior: ShapeModel
) -> dict[str, float | None]:
    statistics = load_reference_statistics()
    m = measure(name, mask.astype(np.uint8), 1, ndimage.find_objects(mask.astype(np.uint8))[0], geometry)
    around = {**organs, name: m}
    found = [
        volume_score(m, statistics), extent_score(m, statistics, geometry), parts_score(m, statistics), holes_score(m, statistics),
        gaps_score(m, statistics, geometry), asymmetry_score(m, around, other_side(name), statistics), position_score(m, around, statistics),
        *prior.scores(name, prior.reconstruct(m, geometry)),
    ]  # fmt: skip
    gap = touch_score(m, moved_to(around, geometry, name), statistics, geometry)
    every = [*found, *([gap] if gap else [])]
    by_id = {s.id: s.severity for s in every}
    return {
        "all": max(s.severity for s in every if s.counts and s.severity is not None),
        **{c: by_id.get(c) for c in COLUMNS[1:]},
    }


def moved_to(organs: dict[str, Measured], geometry: Geometry, name: str) -> dict[str, Measured]:
    """Return the neighbours with boxes counted from the window's corner, for distances between voxels."""
    corner = WINDOW_START[name]
    return {
        o: m
        if o == name
        else replace(m, box=tuple(slice(s.start - c, s.stop - c) for s, c in zip(m.box, corner, strict=True)))
        for o, m in organs.items()
    }


WINDOW_START: dict[str, tuple[int, ...]] = {}


def window_of(m: Measured, geometry: Geometry, shape: tuple[int, ...]) -> tuple[tuple[slice, ...], Geometry]:
    margin = [int(np.ceil(MARGIN_MM / s)) for s in geometry.spacing_mm_zyx]
    window = tuple(slice(max(0, b.start - a), min(n, b.stop + a)) for b, a, n in zip(m.box, margin, shape, strict=True))
    start = np.array([w.start for w in window])
    WINDOW_START[m.name] = tuple(int(v) for v in start)
    size = tuple(w.stop - w.start for w in window)
    return window, Geometry(size, geometry.spacing_mm_xyz, tuple(geometry.index_to_mm(start)), geometry.direction_xyz)


def direction(rng: np.random.Generator) -> np.ndarray:
    v = rng.normal(size=3)
    return v / np.linalg.norm(v)


def shifted(mask: np.ndarray, geometry: Geometry, by_mm_zyx: np.ndarray) -> np.ndarray:
    return ndimage.shift(mask.astype(np.float32), by_mm_zyx / geometry.spacing_mm_zyx, order=1) >= 0.5


def scaled(mask: np.ndarray, factor: float) -> np.ndarray:
    """Return the mask with every length times ``factor``, about the centre."""
    center = np.argwhere(mask).mean(axis=0)
    matrix = np.eye(3) / factor
    return ndimage.affine_transform(mask.astype(np.float32), matrix, center - matrix @ center, order=1) >= 0.5


def without_slices(mask: np.ndarray, rng: np.random.Generator, inner: bool) -> np.ndarray:
    """Return the mask without one inner slice (``inner``), else without its top or bottom third."""
    out = mask.copy()
    slices = np.flatnonzero(mask.any(axis=(1, 2)))
    third = max(1, len(slices) // 3)
    gone = (
        [slices[len(slices) // 2]]
        if inner and len(slices) > 2
        else (slices[:third] if rng.random() < 0.5 else slices[-third:])
    )
    out[gone] = False
    return out


def leaked(mask: np.ndarray, geometry: Geometry, rng: np.random.Generator, mm: float) -> np.ndarray:
    """Return the mask smeared by ``mm`` along one direction in the slice."""
    angle = rng.uniform(0, 2 * np.pi)
    step = np.array([0.0, np.sin(angle), np.cos(angle)])
    out = mask.copy()
    for distance in np.arange(1, mm + 1):
        out |= shifted(mask, geometry, step * distance)
    return out


def with_blob(mask: np.ndarray, geometry: Geometry, rng: np.random.Generator, radius_mm: float) -> np.ndarray:
    """Return the mask and a ball 10 to 15 mm from its nearest surface."""
    spacing = np.array(geometry.spacing_mm_zyx)
    index = np.argwhere(mask)
    away = direction(rng) * (1.0, 1.0, 1.0)
    reach = ((index - index.mean(axis=0)) * spacing @ away).max()
    center = index.mean(axis=0) * spacing + away * min(reach + rng.uniform(6, 10), MARGIN_MM - radius_mm)
    grid = np.moveaxis(np.indices(mask.shape), 0, -1) * spacing
    return mask | (((grid - center) ** 2).sum(axis=-1) <= radius_mm**2)


def mirrored(mask: np.ndarray) -> np.ndarray:
    """Return the mask with left and right exchanged about its own centre."""
    index = np.argwhere(mask)
    turned = index.copy()
    turned[:, 2] = np.clip(np.round(2 * index[:, 2].mean() - index[:, 2]), 0, mask.shape[2] - 1).astype(int)
    out = np.zeros_like(mask)
    out[tuple(turned.T)] = True
    return out


def placed(m: Measured, like: np.ndarray) -> np.ndarray:
    """Return another organ's mask, moved so that its centre is this organ's."""
    out = np.zeros_like(like)
    index = np.argwhere(m.mask)
    moved = np.round(index - index.mean(axis=0) + np.argwhere(like).mean(axis=0)).astype(int)
    inside = ((moved >= 0) & (moved < like.shape)).all(axis=1)
    out[tuple(moved[inside].T)] = True
    return out


def real_rows(segmentation: Segmentation, scan: str, annotator: str, prior: ShapeModel) -> Iterator[dict]:
    for entry in rank_organs(segmentation, shape_model=prior).organs:
        yield {
            "scan": scan, "annotator": annotator, "organ": entry.organ.name, "look": entry.group == "look at",
            "flags": [s.id for s in entry.scores if s.flagged],
        }  # fmt: skip


def auc(rows: list[dict], what: str, column: str) -> float:
    """Return the mean AUC over organs, each against its own real contours; 0.5 where the score does not apply."""
    found = []
    for organ in sorted({r["organ"] for r in rows}):
        real = np.array([r[column] or 0.0 for r in rows if r["organ"] == organ and r["what"] == "real"])
        wrong = np.array([r[column] or 0.0 for r in rows if r["organ"] == organ and r["what"] == what])
        if len(wrong):
            found.append((wrong[:, None] > real).mean() + 0.5 * (wrong[:, None] == real).mean())
    return float(np.mean(found))


def print_aucs(rows: list[dict]) -> None:
    kinds = list(dict.fromkeys(r["what"] for r in rows if r["what"] != "real"))
    print(f"{sum(r['what'] == 'real' for r in rows)} real contours of {len({r['scan'] for r in rows})} patients\n")
    print(f"| corruption | flagged | {' | '.join(COLUMNS)} |\n|{'---|' * (len(COLUMNS) + 2)}")
    for what in ["real", *kinds]:
        mine = [r for r in rows if r["what"] == what]
        flagged = np.mean([r["all"] >= 1 for r in mine])
        cells = " | ".join("-" if what == "real" else f"{auc(rows, what, c):.2f}" for c in COLUMNS)
        print(f"| {what} | {100 * flagged:.0f} % | {cells} |")
    for organ in sorted({r["organ"] for r in rows}):
        mine = [r for r in rows if r["organ"] == organ]
        cells = [
            f"{w} {auc(mine, w, 'all'):.2f} ({auc(mine, w, 'volume'):.2f}, {auc(mine, w, 'shape_latent'):.2f})"
            for w in kinds
        ]
        print(f"\n{organ}, all scores (volume, latent): {'; '.join(cells)}")


def print_false_alarms(rows: list[dict]) -> None:
    print("\n| real contours of | contours | flagged | by |\n|---|---|---|---|")
    for organ in [*sorted({r["organ"] for r in rows}), None]:
        mine = [r for r in rows if organ in (None, r["organ"])]
        flags = [f for r in mine for f in r["flags"]]
        by = ", ".join(f"{i} {flags.count(i)}" for i in sorted(set(flags), key=lambda i: -flags.count(i)))
        print(
            f"| {organ or '**all**'} | {len(mine)} | {sum(r['look'] for r in mine)} ({100 * np.mean([r['look'] for r in mine]):.0f} %) | {by} |"
        )
    both = {(r["scan"], r["organ"]): [] for r in rows}
    for r in rows:
        both[r["scan"], r["organ"]].append(r["look"])
    pairs = [p for p in both.values() if len(p) == 2]
    one = sum(p[0] != p[1] for p in pairs)
    neither, twice = sum(not any(p) for p in pairs), sum(all(p) for p in pairs)
    print(f"\n{len(pairs)} pairs: neither annotator's contour flagged {neither}, one {one}, both {twice}")


if __name__ == "__main__":
    main()
