"""What each command of ``focusnet`` does. Arguments come from ``cli``; each function returns the exit status."""

from __future__ import annotations

import argparse
import csv
import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path

from .errors import Cancelled, FocusNetError, InputError, OutputError
from .files.atomic_write import atomic_path, check_output, ensure_folder
from .image.segmentation import Segmentation
from .image.volume import Volume
from .io import read_volume
from .io.ct_checks import check_ct
from .io.json_report import write_report
from .io.label_map import names_path
from .nets.bundle import ModelBundle, available_bundles, install_bundle, load_bundle
from .progress import json_line
from .terminal import progress_to, tell_warning

SUFFIXES = (".seg.nrrd", ".nii.gz", ".nii", ".dcm")
LARGEST_SPACING_MM = 10.0  # of a simulated scan: coarser voxels hold no head
PAGE_SUFFIXES = (".html", ".htm")
IMAGE_SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd", ".nii", ".nii.gz")


def segment(options: argparse.Namespace) -> int:
    """Everything that can be refused is refused before the networks run."""
    check_kind(options.output, options.dicom)
    check_outputs(options.output, options.report, options.picture, options.overwrite)
    bundle = _check_engine(options)
    volume = read_scan(options.input, options)
    result = _run(volume, bundle, options)
    write_result(result, volume, options.output, options.dicom, options.overwrite)
    try:
        _write_beside(result, volume, bundle, options)
    except OutputError as problem:
        raise OutputError(f"{problem} The segmentation {options.output} is written.") from problem
    tell_result(result, options)
    return 0


def _write_beside(result: Segmentation, volume: Volume, bundle: ModelBundle, options: argparse.Namespace) -> None:
    if options.report is not None:
        _write_report(result, volume, bundle, options.report, options.overwrite)
    if options.picture is not None:
        from .reports.overview import overview

        overview(volume, result, options.picture, options.overwrite)


def tell_result(result: Segmentation, options: argparse.Namespace) -> None:
    """What was written, for programs (stderr) and for people."""
    if options.json_progress:
        report = str(options.report) if options.report is not None else None
        print(json_line("result", segmentation=str(options.output), report=report), file=sys.stderr, flush=True)
    print(table(result))
    print(f"Wrote {options.output}. Research software, not a medical device: check every contour.")


def _write_report(result: Segmentation, volume: Volume, bundle: ModelBundle, path: Path, overwrite: bool) -> None:
    """JSON for programs or a page for people, by the file's ending."""
    if not path.name.lower().endswith(PAGE_SUFFIXES):
        write_report(result, path, overwrite)
        return
    from .reports.case_page import CaseReport, write_case_page
    from .reports.case_scores import scored

    scores, ghosts = scored(result, volume, bundle)
    write_case_page(CaseReport(volume, result, scores, ghost=ghosts), path, overwrite)


def batch(options: argparse.Namespace) -> int:
    """Each scan on its own: a bad one is written to summary.csv with its reason, and the rest go on."""

    scans = find_scans(options.input)
    bundle = _check_engine(options)
    ensure_folder(options.output)
    rows: list[dict[str, object]] = []
    for number, (name, path) in enumerate(scans, start=1):
        print(f"[{number}/{len(scans)}] {name}", file=sys.stderr, flush=True)
        try:
            rows.append(_batch_one(name, path, bundle, options))
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


def _batch_one(name: str, path: Path, bundle: ModelBundle, options: argparse.Namespace) -> dict[str, object]:
    out = options.output / f"{name}.seg.nrrd"
    row: dict[str, object] = {"scan": name, "status": "done", "message": "", "output": out.name}
    if out.exists() and not options.overwrite:
        return {**row, "status": "kept", "message": "was there already"}
    try:
        volume = read_scan(path, options)
        result = _run(volume, bundle, options)
        # the segmentation comes last: its presence is what a resumed batch takes for done
        write_report(result, options.output / f"{name}.json", overwrite=True)
        if options.qa:
            _write_scores(result, volume, bundle, options.output / f"{name}.qa.json")
        write_result(result, volume, out, None, overwrite=True)
    except FocusNetError as problem:
        print(f"focusnet: {name}: {problem}", file=sys.stderr, flush=True)
        return {**row, "status": "failed", "message": str(problem), "output": ""}
    found = sum(r.found for r in result.results)
    return {**row, "seconds": result.provenance["seconds"], "organs_found": found, "message": " ".join(volume.notes)}


def _write_scores(result: Segmentation, volume: Volume, bundle: ModelBundle, path: Path) -> None:
    """What ``focusnet qa -o`` writes."""
    from .qa import write_review
    from .reports.case_scores import reviewed

    write_review(reviewed(result, volume, bundle)[0], path, overwrite=True)


def find_scans(folder: Path) -> list[tuple[str, Path]]:
    """(name, path) of every image file and every folder of DICOM files below ``folder``; names are unique and file-safe."""
    if not folder.is_dir():
        raise InputError(
            f"{folder} is not a folder; batch wants a folder of scans. For one scan use 'focusnet segment'."
        )
    scans: dict[str, Path] = {}
    for path in sorted([folder, *folder.rglob("*")]):
        is_image = path.is_file() and path.name.lower().endswith(IMAGE_SUFFIXES) and ".seg." not in path.name.lower()
        if not is_image and not (path.is_dir() and _holds_dicom(path)):
            continue
        relative = path.relative_to(folder).as_posix()
        name = folder.name if relative == "." else relative.replace("/", "__")
        for suffix in sorted(IMAGE_SUFFIXES, key=len, reverse=True):
            if is_image and name.lower().endswith(suffix):
                name = name[: -len(suffix)]
                break
        if name in scans:
            raise InputError(f"{path} and {scans[name]} would both be written as {name}.seg.nrrd; rename one of them.")
        scans[name] = path
    if not scans:
        raise InputError(f"{folder} holds no scan: neither {', '.join(IMAGE_SUFFIXES)} nor a folder of DICOM files.")
    return list(scans.items())


def _holds_dicom(folder: Path) -> bool:
    from pydicom.misc import is_dicom

    return any(
        p.is_file() and not p.name.lower().endswith(IMAGE_SUFFIXES) and is_dicom(p)
        for p in sorted(folder.iterdir())[:50]
    )


def demo(options: argparse.Namespace) -> int:
    from .phantom.write import write_phantom
    from .reports.overview import overview

    out: Path = options.output
    outputs = (out / "organs.seg.nrrd", out / "report.json", out / "overview.png")
    bundle = _check_engine(options)
    ensure_folder(out)
    check_outputs(*outputs, options.overwrite)
    source = options.input
    if source is None:
        print(f"Making a synthetic head-and-neck phantom in {out} ...", file=sys.stderr, flush=True)
        source = write_phantom(out, overwrite=options.overwrite)[0]
    volume = read_scan(source, options)
    if options.input is None:
        volume = replace(volume, source=f"synthetic phantom ({source.name})")  # its header brought the note
    result = _run(volume, bundle, options)
    write_result(result, volume, outputs[0], None, options.overwrite)
    write_report(result, outputs[1], options.overwrite)
    overview(volume, result, outputs[2], options.overwrite)
    print(table(result))
    print(
        f"\nScan          {source}\nOrgans        {outputs[0]}\nReport        {outputs[1]}\nPicture       {outputs[2]}"
    )
    print(f"\nTo see them in 3D Slicer: drag {source} and {outputs[0]} into its window, then press OK.")
    if options.input is None:
        print(
            "The phantom is synthetic: it shows that everything works, not how good the contours are. "
            "Try a CT of yours: focusnet demo YOUR_SCAN"
        )
    print("Research software, not a medical device.")
    return 0


def train(options: argparse.Namespace) -> int:
    if options.status is not None:
        from .train.status import status_text

        print(status_text(options.status))
        return 0
    if options.dataset is None or options.out is None:
        raise InputError("focusnet train needs --dataset and --out (or --status DIR alone).")
    from .train.run import train_bundle

    try:
        bundle = train_bundle(
            options.dataset,
            options.out,
            options.preset,
            options.config,
            options.stages,
            resume=options.resume,
            network=_given(options, "arch", "width", "small_organs"),
            settings=_given(options, "steps", "precision"),
            device=options.device,
            init=options.init,
        )
    except KeyboardInterrupt as stop:
        raise Cancelled(_stopped(options.out)) from stop
    if os.environ.get("RANK", "0") == "0":  # one of several processes under torchrun speaks
        print(
            f"Wrote the bundle {bundle.folder}. Try it: focusnet segment SCAN -o OUT.seg.nrrd --model {shlex.quote(str(bundle.folder))}"
        )
    return 0


def _stopped(out: Path) -> str:
    """What is left of a training that was interrupted."""
    if any(out.glob("*.last.safetensors")):
        return f"Stopped. {out} keeps the last checkpoint: the same command with --resume goes on from there."
    return f"Stopped before the first checkpoint; there is nothing in {out} to go on from."


def _given(options: argparse.Namespace, *names: str) -> dict[str, object]:
    """Only what the command line names: the rest is left to the configuration file."""
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def models(options: argparse.Namespace) -> int:
    from . import model_text

    if options.action == "list":
        print(model_text.listing(available_bundles()))
    elif options.action == "show":
        print(model_text.description(load_bundle(options.model, kind=None)))
    elif options.action == "verify":
        bundle = load_bundle(options.model, kind=None)
        bundle.check_weights()
        print(f"{bundle.name}: format, hashes and shapes are right ({bundle.folder})")
    else:
        bundle = install_bundle(options.model, options.overwrite)
        print(f"Installed {bundle.name} in {bundle.folder}")
    return 0


def phantom(options: argparse.Namespace) -> int:
    from .phantom.write import write_phantom

    for path in write_phantom(options.output, seed=options.seed, dicom=options.dicom, overwrite=options.overwrite):
        print(path)
    return 0


def simulate(options: argparse.Namespace) -> int:
    from .simulate.dataset import Recipe, write_dataset

    if min(options.spacing_mm) <= 0 or max(options.spacing_mm) > LARGEST_SPACING_MM or options.seed < 0:
        raise InputError(
            f"--spacing-mm is {options.spacing_mm} and --seed {options.seed}; millimetres above 0 and at most {LARGEST_SPACING_MM:g}, "
            "and a seed of 0 or more are expected."
        )
    x, y, z = options.spacing_mm
    recipe = Recipe(options.annotator, options.seed, options.region, (x, y, z), tuple(options.cases))
    folder = write_dataset(
        options.labels, options.output, recipe, options.overwrite, lambda line: print(line, file=sys.stderr, flush=True)
    )
    print(
        f"Wrote {folder}: simulated CTs over real contours, not patients' scans. Train: focusnet train --dataset {folder} --out RUN"
    )
    return 0


def table(result: Segmentation) -> str:
    """The result for a terminal: organ, volume, peak, warnings."""
    width = max(len(r.organ.name) for r in result.results)
    lines = [f"{'organ':<{width}}  {'volume ml':>9}  {'peak':>5}"]
    for r in result.results:
        peak = "" if r.peak is None else f"{r.peak:.2f}"
        lines.append(f"{r.organ.name:<{width}}  {r.volume_ml:>9.2f}  {peak:>5}  {' '.join(r.warnings)}".rstrip())
    return "\n".join(lines)


def _check_engine(options: argparse.Namespace) -> ModelBundle:
    """Model, device, precision and organs are checked before a scan is read: the quickest refusals come first."""
    from .inference.backends import check_backend
    from .inference.devices import choose_device
    from .inference.seed_points import check_seeds, parse_seeds
    from .inference.segment import choose_organs

    bundle = load_bundle(options.model)
    choose_device(options.device, options.precision)
    check_backend(options.backend)
    choose_organs(bundle, options.organs)
    check_seeds(bundle, parse_seeds(getattr(options, "seed", ())))
    return bundle


def read_scan(path: Path, options: argparse.Namespace) -> Volume:
    volume = read_volume(path, series=getattr(options, "series", None), hu_offset=options.hu_offset)
    for warning in check_ct(volume):
        tell_warning(warning, options.json_progress)
    return volume


def _run(volume: Volume, bundle: ModelBundle, options: argparse.Namespace) -> Segmentation:
    from .inference.seed_points import parse_seeds
    from .inference.segment import segment as run_segment

    with progress_to(sys.stderr, options.json_progress) as callback:
        return run_segment(
            volume,
            bundle,
            device=options.device,
            precision=options.precision,
            organs=options.organs,
            backend=options.backend,
            progress=callback,
            seeds=parse_seeds(getattr(options, "seed", ())),
        )


def check_kind(output: Path, dicom: str | None) -> None:
    """Refuse an output whose ending is unknown or does not fit ``dicom``. Raises InputError."""
    name = output.name.lower()
    if not name.endswith(SUFFIXES):
        raise InputError(f"Output {output.name} has no known ending; use one of {', '.join(SUFFIXES)}.")
    if name.endswith(".dcm") != (dicom is not None):
        raise InputError(
            f"Output {output.name} and --dicom {dicom} do not fit; a .dcm output needs --dicom rtstruct or --dicom seg, other outputs neither."
        )


def check_outputs(output: Path, report: Path | None, picture: Path | None, overwrite: bool) -> None:
    """Refuse now what would be refused after the run."""
    check_output(output, overwrite)
    if output.name.lower().endswith((".nii", ".nii.gz")):
        check_output(names_path(output), overwrite)
    if report is not None:
        check_output(report, overwrite)
    if picture is not None:
        check_output(picture, overwrite, (".png",))


def write_result(result: Segmentation, volume: Volume, output: Path, dicom: str | None, overwrite: bool) -> None:
    if dicom == "rtstruct":
        from .io.rtstruct_write import write_rtstruct

        write_rtstruct(result, volume, output, overwrite=overwrite)
    elif dicom == "seg":
        from .io.dicom_seg import write_dicom_seg

        write_dicom_seg(result, volume, output, overwrite=overwrite)
    elif output.name.lower().endswith(".seg.nrrd"):
        from .io.seg_nrrd import write_seg_nrrd

        write_seg_nrrd(result, output, overwrite=overwrite)
    else:
        from .io.label_map import write_nifti

        write_nifti(result, output, overwrite=overwrite)
