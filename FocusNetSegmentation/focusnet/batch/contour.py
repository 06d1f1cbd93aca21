"""One scan of a batch: contour it, write what was asked for, return its rows for summary.csv. A bad scan is a row, not an error."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import FocusNetError
from ..image.drawn_by import failures
from ..image.orientation_doubt import doubt_text, refuse_doubtful
from ..image.segmentation import FOUND, NOT_FOUND, UNCERTAIN, status_of
from ..progress import ProgressCallback
from .scans import ALL, Scan, choose_series, opened

if TYPE_CHECKING:
    from ..image.segmentation import Segmentation
    from ..image.volume import Volume
    from ..inference.options import SegmentOptions

DONE, KEPT, FAILED, SKIPPED = "done", "kept", "failed", "skipped"
Row = dict[str, Any]
# one scan in the network at a time, and one being written: Matplotlib draws for one thread only
NETWORK, WRITING = threading.Lock(), threading.Lock()


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """Options for every scan of a batch; plain values, because they travel to other processes and computers."""

    output: str
    model: str
    device: str = "auto"
    precision: str = "auto"
    backend: str = "auto"
    organs: tuple[str, ...] | None = None
    hu_offset: float | None = None
    series: str | None = None
    overwrite: bool = False
    qa: bool = False
    dicom: str | None = None
    picture: bool = False
    report: bool = False
    orientation_override: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> BatchOptions:
        organs = values.get("organs")
        return cls(**{**values, "organs": None if organs is None else tuple(organs)})

    def extras(self, name: str) -> list[Path]:
        """Return the files that are wanted beside NAME.seg.nrrd and NAME.json."""
        folder = Path(self.output)
        wanted = {
            f"{name}.qa.json": self.qa,
            f"{name}.{self.dicom}.dcm": self.dicom is not None,
            f"{name}.png": self.picture,
            f"{name}.html": self.report,
        }
        return [folder / file for file, asked in wanted.items() if asked]


def contour_scan(
    scan: Scan,
    options: BatchOptions,
    progress: ProgressCallback | None = None,
    tell: Callable[[str], object] = lambda text: None,
) -> list[Row]:
    """Return one row per series. ``tell`` gets warnings for a person."""
    if options.series != ALL and _is_kept(scan.name, options):
        return [kept_row(scan.name, options)]
    try:
        with opened(scan.path) as path:
            series = choose_series(path, options.series)
            if not series:
                return [{"scan": scan.name, "status": SKIPPED, "message": f"has no series {options.series}"}]
            rows = []
            for uid in series:
                name = scan.name if len(series) == 1 else f"{scan.name}__{uid}"
                rows.append(_contour_series(name, path, uid, options, progress, tell))
            return rows
    except FocusNetError as problem:
        return [failed_row(scan.name, str(problem))]


def _is_kept(name: str, options: BatchOptions) -> bool:
    return not options.overwrite and (Path(options.output) / f"{name}.seg.nrrd").exists()


def _contour_series(
    name: str,
    path: Path,
    uid: str | None,
    options: BatchOptions,
    progress: ProgressCallback | None,
    tell: Callable[[str], object],
) -> Row:
    if _is_kept(name, options):
        return kept_row(name, options)
    try:
        volume = read_scan(path, uid, options, tell)
        result = run_model(volume, options, progress)
        if not options.orientation_override:
            refuse_doubtful(result.provenance)
        with WRITING:
            _write(name, result, volume, options)
    except FocusNetError as problem:
        return failed_row(name, str(problem))
    from ..io.json_report import report

    told = " ".join(filter(None, [*volume.notes, *failures(result.provenance), doubt_text(result.provenance)]))
    return {**row_of(name, report(result)), "status": DONE, "message": told}


def read_scan(path: Path, uid: str | None, options: BatchOptions, tell: Callable[[str], object]) -> Volume:
    """Read a scan, and refuse now what could not be exported as DICOM after minutes of work. Raises InputError."""
    from ..io.ct_checks import check_ct
    from ..io.read import read_volume

    volume = read_volume(path, series=uid, hu_offset=options.hu_offset)
    for warning in check_ct(volume):
        tell(warning)
    if options.dicom is not None:
        from ..io.dicom_verify import check_scan

        volume = check_scan(volume, "RTSTRUCT" if options.dicom == "rtstruct" else "DICOM SEG")
    return volume


def run_model(volume: Volume, options: BatchOptions, progress: ProgressCallback | None = None) -> Segmentation:
    """Contour a scan. Raises InputError, ModelError."""
    from ..inference.segment import segment_scan

    with NETWORK:
        return segment_scan(volume, segment_options(options), progress)


def segment_options(options: BatchOptions) -> SegmentOptions:
    """Return the model and how to run it, checked once per process. Raises InputError, ModelError."""
    return _segment_options(options.model, options.device, options.precision, options.organs, options.backend)


@lru_cache(maxsize=1)
def _segment_options(
    model: str, device: str, precision: str, organs: tuple[str, ...] | None, backend: str
) -> SegmentOptions:
    from ..inference.options import SegmentOptions

    return SegmentOptions(model, device=device, precision=precision, organs=organs, backend=backend)


def _write(name: str, result: Segmentation, volume: Volume, options: BatchOptions) -> None:
    """Write everything; the segmentation comes last, because its presence is what a resumed batch takes for done."""
    from ..io.json_report import write_report
    from ..io.write import write_segmentation

    write = partial(write_segmentation, overwrite=True, orientation_override=options.orientation_override)
    folder = Path(options.output)
    write_report(result, folder / f"{name}.json", overwrite=True)
    if options.qa or options.report:
        _write_scores(name, result, volume, options)
    if options.picture:
        from ..reports.overview import overview

        report = f"{name}.{'html' if options.report else 'json'}"
        overview(volume, result, folder / f"{name}.png", overwrite=True, report=report)
    if options.dicom is not None:
        write(result, volume, folder / f"{name}.{options.dicom}.dcm", options.dicom)
    write(result, volume, folder / f"{name}.seg.nrrd")


def _write_scores(name: str, result: Segmentation, volume: Volume, options: BatchOptions) -> None:
    """Write the scores as ``focusnet qa -o`` does, and the page as ``focusnet segment --report``."""
    from ..qa import write_ranking
    from ..reports.case_page import CaseReport, write_case_page
    from ..reports.case_scores import ranked_organs, scored

    bundles = segment_options(options).bundles
    if options.qa:
        write_ranking(
            ranked_organs(result, volume, bundles)[0], Path(options.output) / f"{name}.qa.json", overwrite=True
        )
    if options.report:
        scores, shape_priors = scored(result, volume, bundles)
        page = CaseReport(volume, result, scores, shape_prior=shape_priors)
        write_case_page(page, Path(options.output) / f"{name}.html", overwrite=True)


# -- rows


def row_of(name: str, report: Mapping[str, Any]) -> Row:
    """Return what summary.csv says of a scan, from its NAME.json: found means the same there, here and on every page."""
    organs = report.get("organs", [])
    names: dict[str, list[str]] = {FOUND: [], UNCERTAIN: [], NOT_FOUND: []}
    for organ in organs:
        names[status_of(organ["found"], organ["volume_ml"])].append(organ["name"])
    return {
        "scan": name,
        "seconds": report.get("run", {}).get("seconds"),
        "organs_found": len(names[FOUND]),
        "uncertain": " ".join(names[UNCERTAIN]),
        "not_found": " ".join(names[NOT_FOUND]),
        "warnings": "; ".join(f"{organ['name']}: {text}" for organ in organs for text in organ["warnings"]),
        "caution": " ".join(_cautions(report)),
        "output": f"{name}.seg.nrrd",
        **{f"{organ['name']}_ml": organ["volume_ml"] for organ in organs},
    }


def _cautions(report: Mapping[str, Any]) -> list[str]:
    """Return what must be said of the models; reports of earlier versions say it of their only model alone."""
    told = report.get("cautions")
    return list(told) if told is not None else [c for c in (report.get("run", {}).get("caution"),) if c]


def kept_row(name: str, options: BatchOptions) -> Row:
    """Return the full row of a scan that an earlier run contoured, from the report beside it."""
    message = "was there already"
    missing = [path.name for path in options.extras(name) if not path.exists()]
    if missing:
        message += f", without {', '.join(missing)} (--overwrite contours it again)"
    try:
        report = json.loads((Path(options.output) / f"{name}.json").read_text(encoding="utf-8"))
        return {**row_of(name, report), "status": KEPT, "message": message}
    except (OSError, ValueError, KeyError, TypeError):
        message += f"; {name}.json, which says what was found, cannot be read"
        return {"scan": name, "status": KEPT, "message": message, "output": f"{name}.seg.nrrd"}


def failed_row(name: str, reason: str) -> Row:
    return {"scan": name, "status": FAILED, "message": reason}
