"""``focusnet demo``: contour a synthetic phantom, or a scan of the user's, and show the result."""

from __future__ import annotations

import argparse
import math
import shlex
import sys
import tempfile
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from ..image.drawn_by import failures
from ..wording import RESEARCH_ONLY
from .options import DEFAULT_MODEL, Commands, add_command
from .scan import (
    add_model_options,
    check_outputs,
    organ_table,
    read_scan,
    refuse_or_tell_orientation,
    run_model,
    segment_options,
)
from .terminal import tell_warning

if TYPE_CHECKING:
    from ..image.segmentation import Segmentation
    from ..image.volume import Volume

NAME = "focusnet-demo"
DEMO_MODELS = ("han7-openkbp", "head22-synthetic")  # those of them that are installed
REFERENCE = "reference.seg.nrrd"
COMPARISON = "comparison.png"


def add_arguments(commands: Commands) -> None:
    """Add the command and its options."""
    parser = add_command(
        commands,
        "demo",
        "Segment a synthetic phantom (or a scan of yours) with the model that ships, and show the result.",
        demo,
    )
    parser.add_argument("input", type=Path, nargs="?", help="a scan of yours; without it a synthetic phantom is made")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        help=f"folder to write (default: {NAME}, numbered if it exists; inside a git clone it is made in the temporary folder)",
    )
    add_model_options(parser)
    parser.set_defaults(model=demo_models())


def demo(options: argparse.Namespace) -> int:
    """Contour the phantom or a scan; write contours, report and picture into a folder."""
    from ..files.atomic_write import check_output, ensure_folder
    from ..io.json_report import write_report
    from ..io.write import write_segmentation
    from ..phantom.anatomy import with_others
    from ..phantom.write import write_phantom
    from ..reports.overview import overview

    out: Path = options.output if options.output is not None else free_folder(Path.cwd())
    outputs = (out / "organs.seg.nrrd", out / "report.json", out / "overview.png")
    comparison = out / COMPARISON
    wanted = segment_options(options)
    ensure_folder(out)
    check_outputs(*outputs, options.overwrite)
    source = options.input
    if source is None:
        check_output(comparison, options.overwrite, (".png",))
        print(f"Making a synthetic head-and-neck phantom in {out} ...", file=sys.stderr, flush=True)
        source = write_phantom(
            out, overwrite=options.overwrite, organs=with_others([organ.name for organ in wanted.organs_in_order])
        )[0]
        wanted = replace(wanted, model=wanted.bundles, check_orientation=False)  # nobody has turned it
    volume = read_scan(source, options)
    if options.input is None:
        volume = replace(volume, source=f"synthetic phantom ({source.name})")  # its header brought the note
    result = run_model(volume, wanted, options)
    refuse_or_tell_orientation(result, options)
    write_segmentation(
        result, volume, outputs[0], overwrite=options.overwrite, orientation_override=options.orientation_override
    )
    write_report(result, outputs[1], options.overwrite)
    overview(volume, result, outputs[2], options.overwrite, outputs[1].name)
    for sentence in failures(result.provenance):
        tell_warning(sentence, options.json_progress)
    print(organ_table(result))
    picture = outputs[2]
    if options.input is None:
        picture = comparison
        print(f"\n{against_reference(volume, result, out / REFERENCE, comparison, options.overwrite)}")
    print(f"\nIn {out}:\n{explained(source, phantom=options.input is None)}")
    print(f"\nTo look at the picture: {opener(picture)}")
    print(f"To see them in 3D Slicer: drag {source} and {outputs[0]} into its window, then press OK.")
    if options.input is None:
        print("Try a CT of yours: focusnet demo YOUR_SCAN")
    print(RESEARCH_ONLY)
    return 0


def demo_models() -> str:
    """Return the models that the demo runs unless others are named, with commas between them: those that ship and are there."""
    from ..nets.bundle_folders import MANIFEST, model_folders

    there = [name for name in DEMO_MODELS if any((folder / name / MANIFEST).is_file() for folder in model_folders())]
    return ",".join(there) or DEFAULT_MODEL


def free_folder(here: Path) -> Path:
    """Return a folder that does not exist yet: ``focusnet-demo``, ``focusnet-demo-2`` ...

    Inside a git clone it lies in the temporary folder: a demo must not leave files that would be committed.
    """
    in_clone = any((parent / ".git").exists() for parent in (here, *here.parents))
    base = Path(tempfile.gettempdir()) if in_clone else Path()
    numbered = (base / (NAME if number == 1 else f"{NAME}-{number}") for number in count(1))
    return next(folder for folder in numbered if not folder.exists())


def against_reference(
    volume: Volume, result: Segmentation, reference: Path, picture: Path, overwrite: bool = False
) -> str:
    """Draw the result over the phantom's true organs into ``picture``; return the scores of each organ that the model knows, as lines."""
    from ..evaluation.evaluate import evaluate
    from ..io.seg_nrrd import read_seg_nrrd
    from ..reports.against_reference import against_reference_picture

    truth = read_seg_nrrd(reference)
    known = {r.organ.name for r in result.results}
    there = [r.organ.name for r in truth.results]
    scores = evaluate(result, truth, [name for name in there if name in known])
    against_reference_picture(volume, result, truth, scores, picture, overwrite)
    lines = [
        f"Compared with the phantom's true organs ({reference.name}): DSC, 1 is perfect, 0 no overlap; mean distance of the surfaces"
    ]
    lines += [f"  {row.organ:<16} {row.dsc:.2f}  {_distance(row.mean_surface_distance_mm)}" for row in scores]
    unknown = [name for name in there if name not in known]
    if unknown:
        lines.append(f"  Drawn by no model here: {', '.join(unknown)}.")
    lines.append(
        "  The phantom is synthetic: it shows that everything works, not how good the contours are. "
        "'focusnet models show MODEL' has scores on real scans."
    )
    return "\n".join(lines)


def _distance(mm: float) -> str:
    return f"{mm:4.1f} mm" if math.isfinite(mm) else "not found"


def explained(source: Path, phantom: bool) -> str:
    """Return what each file of the demo is, one a line."""
    files = [
        ("organs.seg.nrrd", "the organs that the model drew, for 3D Slicer"),
        ("report.json", "volumes, warnings, versions, for programs"),
        ("overview.png", "a picture of them, as 'focusnet segment --picture' makes it"),
    ]
    if phantom:
        compared = (COMPARISON, "a picture of both, with scores and the small organs close up")
        files = [(source.name, "the synthetic CT"), (REFERENCE, "its true organs"), *files, compared]
    return "\n".join(f"  {name:<20} {text}" for name, text in files)


def opener(picture: Path) -> str:
    """Return the command that opens a picture on this system."""
    command = {"darwin": "open", "win32": "start"}.get(sys.platform, "xdg-open")
    return f"{command} {shlex.quote(str(picture))}"
