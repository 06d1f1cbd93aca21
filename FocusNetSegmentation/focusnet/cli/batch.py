"""``focusnet batch``: contour every scan below a folder."""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import Cancelled, FocusNetError, InputError
from .options import Commands, add_command
from .scan import add_model_options, read_scan, run_model, segment_options

if TYPE_CHECKING:
    from ..image.segmentation import Segmentation
    from ..image.volume import Volume
    from ..inference.options import SegmentOptions
    from ..nets.bundle import ModelBundle


def add_arguments(commands: Commands) -> None:
    """Add the command and its options."""
    parser = add_command(commands, "batch", "Contour every scan below a folder; resumes where it was stopped.", batch)
    parser.add_argument("input", type=Path, help="a folder of scans: image files and DICOM folders at any depth")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="folder for NAME.seg.nrrd, NAME.json and summary.csv"
    )
    parser.add_argument(
        "--qa",
        action="store_true",
        help="also NAME.qa.json: which organs to look at first, for 'focusnet report FOLDER'",
    )
    add_model_options(parser)


def batch(options: argparse.Namespace) -> int:
    """Contour each scan on its own: a bad one is written to summary.csv with its reason, and the rest go on."""
    from ..files.atomic_write import atomic_path, ensure_folder

    scans = find_scans(options.input)
    wanted = segment_options(options)
    ensure_folder(options.output)
    rows: list[dict[str, object]] = []
    for number, (name, path) in enumerate(scans, start=1):
        print(f"[{number}/{len(scans)}] {name}", file=sys.stderr, flush=True)
        try:
            rows.append(_batch_one(name, path, wanted, options))
        except (Cancelled, KeyboardInterrupt) as stop:
            raise Cancelled(
                f"Stopped at {name}, scan {number} of {len(scans)}; what was done before is kept in {options.output}; the same command goes on from there."
            ) from stop
        with (
            atomic_path(options.output / "summary.csv") as partial,
            partial.open("w", newline="", encoding="utf-8") as handle,
        ):
            writer = csv.DictWriter(handle, ["scan", "status", "message", "seconds", "organs_found", "output"])
            writer.writeheader()
            writer.writerows(rows)
    failed = [row for row in rows if row["status"] == "failed"]
    print(f"{len(rows) - len(failed)} of {len(rows)} scans done; {options.output / 'summary.csv'} has the details.")
    return 1 if failed else 0


def _batch_one(name: str, path: Path, wanted: SegmentOptions, options: argparse.Namespace) -> dict[str, object]:
    from ..io.json_report import write_report
    from ..io.write import write_segmentation

    out = options.output / f"{name}.seg.nrrd"
    row: dict[str, object] = {"scan": name, "status": "done", "message": "", "output": out.name}
    if out.exists() and not options.overwrite:
        return {**row, "status": "kept", "message": "was there already"}
    try:
        volume = read_scan(path, options)
        result = run_model(volume, wanted, options)
        # the segmentation comes last: its presence is what a resumed batch takes for done
        write_report(result, options.output / f"{name}.json", overwrite=True)
        if options.qa:
            _write_scores(result, volume, wanted.bundle, options.output / f"{name}.qa.json")
        write_segmentation(result, volume, out, overwrite=True)
    except FocusNetError as problem:
        print(f"focusnet: {name}: {problem}", file=sys.stderr, flush=True)
        return {**row, "status": "failed", "message": str(problem), "output": ""}
    found = sum(r.found for r in result.results)
    return {**row, "seconds": result.provenance["seconds"], "organs_found": found, "message": " ".join(volume.notes)}


def _write_scores(result: Segmentation, volume: Volume, bundle: ModelBundle, path: Path) -> None:
    """Write the scores as ``focusnet qa -o`` does."""
    from ..qa import write_ranking
    from ..reports.case_scores import ranked_organs

    write_ranking(ranked_organs(result, volume, bundle)[0], path, overwrite=True)


def find_scans(folder: Path) -> list[tuple[str, Path]]:
    """Return (name, path) of every image file and every folder of DICOM files below ``folder``; names are unique and file-safe.

    Raises InputError for no folder, no scan, or two scans of one name.
    """
    from ..io.suffixes import IMAGES, has_suffix, stem

    if not folder.is_dir():
        raise InputError(
            f"{folder} is not a folder; batch wants a folder of scans. For one scan use 'focusnet segment'."
        )
    scans: dict[str, Path] = {}
    for path in sorted([folder, *folder.rglob("*")]):
        is_image = path.is_file() and has_suffix(path, IMAGES) and ".seg." not in path.name.lower()
        if not is_image and not (path.is_dir() and _holds_dicom(path)):
            continue
        relative = path.relative_to(folder).as_posix()
        name = folder.name if relative == "." else relative.replace("/", "__")
        if is_image:
            name = stem(name)
        if name in scans:
            raise InputError(f"{path} and {scans[name]} would both be written as {name}.seg.nrrd; rename one of them.")
        scans[name] = path
    if not scans:
        raise InputError(f"{folder} holds no scan: neither {', '.join(IMAGES)} nor a folder of DICOM files.")
    return list(scans.items())


def _holds_dicom(folder: Path) -> bool:
    from pydicom.misc import is_dicom

    from ..io.suffixes import IMAGES, has_suffix

    return any(p.is_file() and not has_suffix(p, IMAGES) and is_dicom(p) for p in sorted(folder.iterdir())[:50])
