"""Cost of a result of 22 organs on Slicer's side: seconds and memory from the worker's file to nodes, and what a person does next.

    python benchmarks/slicer_nodes.py [--shape 150,512,512] [--json]

Needs slicer-core (Python 3.12). 22 ellipsoids on the grid of a full scan, in a process of its own, so that its memory is its own: the
peak on top of Slicer's core and the CT. Linux only (memory is read from /proc). Not a test: figures depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation"))

SPACING_MM_XYZ = (0.98, 0.98, 2.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="150,512,512", help="slices, rows, columns")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--import-only", action="store_true", help="leave out what a person does next")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)  # the process that is measured
    asked = parser.parse_args()
    shape = tuple(int(n) for n in asked.shape.split(","))
    if asked.measure is not None:
        print(json.dumps(measure(asked.measure, shape, asked.import_only)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "organs.seg.nrrd"
        write_organs(path, shape)
        done = subprocess.run(
            [
                sys.executable,
                __file__,
                *(["--import-only"] if asked.import_only else []),
                "--shape",
                asked.shape,
                "--measure",
                str(path),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        sys.exit(done.stderr)
    found = json.loads(done.stdout.splitlines()[-1])
    if asked.json:
        print(json.dumps(found))
        return
    print(f"{'':44}   CPU s  wall s")
    for name, (cpu, wall) in found["seconds"].items():
        print(f"{name:44} {cpu:7.2f} {wall:7.2f}")
    print(f"peak memory of the import, above core and CT: {found['added_mb']} MB; label map layers: {found['layers']}")


def write_organs(path: Path, shape: tuple[int, ...]) -> None:
    """The paper's 22 organs as ellipsoids."""
    from focusnet.image.organs import organ_set
    from focusnet.image.segmentation import OrganResult, Segmentation
    from focusnet.image.volume import Geometry
    from focusnet.io.seg_nrrd import write_seg_nrrd

    labels, results = np.zeros(shape, np.uint8), []
    z, y, x = (grid / n for grid, n in zip(np.ogrid[: shape[0], : shape[1], : shape[2]], shape, strict=True))
    for label, organ in enumerate(organ_set("paper22"), start=1):
        center = 0.1 + 0.035 * label
        inside = ((z - center) / 0.08) ** 2 + ((y - center) / 0.047) ** 2 + ((x - center) / 0.039) ** 2 < 1
        labels[inside] = label
        results.append(
            OrganResult(
                organ=organ, label=label, found=True, volume_ml=float(inside.sum()) * np.prod(SPACING_MM_XYZ) / 1000
            )
        )
    write_seg_nrrd(Segmentation(labels, Geometry(shape, SPACING_MM_XYZ), tuple(results)), path)  # type: ignore[arg-type]


def measure(path: Path, shape: tuple[int, ...], import_only: bool) -> dict[str, Any]:
    import slicer
    import slicerio  # noqa: F401 - loaded before the clock starts, as in a Slicer that has run once
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    import focusnet.io.seg_nrrd  # noqa: F401
    from FocusNetSegmentationLib.exchange.export import export
    from FocusNetSegmentationLib.scene.nodes import edited_segments, import_result, make_closed_surfaces
    from FocusNetSegmentationLib.scene.volumes import to_vtk

    scene = slicer.vtkMRMLScene()
    logic = slicer.vtkSlicerSegmentationsModuleLogic()
    logic.SetMRMLScene(scene)
    ct = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    image = vtk.vtkImageData()
    image.SetDimensions(*shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(np.zeros(int(np.prod(shape)), np.int16), deep=True))
    ct.SetAndObserveImageData(image)
    x, y, z = SPACING_MM_XYZ
    ct.SetIJKToRASMatrix(to_vtk(np.diag([-x, -y, z, 1])))

    seconds: dict[str, tuple[float, float]] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        cpu, wall = time.process_time(), time.perf_counter()
        result = work()
        seconds[name] = (round(time.process_time() - cpu, 2), round(time.perf_counter() - wall, 2))
        return result

    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    before = memory_kb("VmRSS")
    imported = timed("import: file to nodes, with the frozen copy", lambda: import_result(scene, path, ct))
    added = (memory_kb("VmHWM") - before) // 1024
    layers = imported.node.GetSegmentation().GetNumberOfLayers("Binary labelmap")
    found = {"seconds": seconds, "added_mb": added, "layers": layers, "organs": len(imported.segment_ids)}
    if import_only:
        return found
    timed("what was edited (asked before every Apply)", lambda: edited_segments(imported.node))
    timed("export to .seg.nrrd", lambda: export(imported.node, ct, path.with_name("again.seg.nrrd"), "seg.nrrd"))
    review_steps(scene, imported.node, ct, seconds)
    timed("Slicer's surfaces of all organs (Show 3D)", lambda: make_closed_surfaces(imported.node))
    return found


def review_steps(scene: Any, node: Any, ct: Any, seconds: dict[str, tuple[float, float]]) -> None:
    """Measure what a person waits for in a review: the slowest of all organs for each step, in ``seconds``. Three slice views, one camera; nothing is drawn."""
    import slicer

    from FocusNetSegmentationLib.review.correction import KeptNeighbours, set_keep_neighbours, smooth
    from FocusNetSegmentationLib.review.display import Display
    from FocusNetSegmentationLib.review.surfaces import Surfaces
    from FocusNetSegmentationLib.review.views import Views
    from FocusNetSegmentationLib.scene.labelmaps import LABELMAP, voxels
    from FocusNetSegmentationLib.scene.nodes import organ_segments

    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)
    for name in ("Axial", "Sagittal", "Coronal"):
        view = scene.AddNewNodeByClass("vtkMRMLSliceNode", name)
        view.SetLayoutName(name)
        view.SetOrientation(name)
        view.SetDimensions(500, 400, 1)
        scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", name).SetLayoutName(name)
    scene.AddNewNodeByClass("vtkMRMLCameraNode")
    ct.CreateDefaultDisplayNodes()
    views, display, surfaces = Views(scene), Display(scene), Surfaces(scene)

    def slowest(name: str, works: list[Callable[[], Any]]) -> None:
        times = []
        for work in works:
            cpu, wall = time.process_time(), time.perf_counter()
            work()
            times.append((round(time.process_time() - cpu, 3), round(time.perf_counter() - wall, 3)))
        seconds[name] = (max(t[0] for t in times), max(t[1] for t in times))

    def change_to(organ: str, segment_id: str) -> None:
        views.show_organ(node, segment_id, organ, ct)
        display.highlight(node, segment_id)
        surfaces.show(node, segment_id)

    organs = list(organ_segments(node).items())
    changes = [lambda o=organ, s=segment_id: change_to(o, s) for organ, segment_id in organs]
    slowest("review: the first organ", changes[:1])
    slowest("review: another organ (slowest of all)", changes[1:] + changes[:1])
    slowest("review: one surface (slowest of all)", [surfaces.step] * len(organs))
    organ, segment_id = organs[5]
    image = node.GetSegmentation().GetSegment(segment_id).GetRepresentation(LABELMAP)

    def stroke() -> None:
        z, y, x = (
            np.argwhere(voxels(image)[::3, ::3, ::3] == node.GetSegmentation().GetSegment(segment_id).GetLabelValue())[
                0
            ]
            * 3
        )
        voxels(image)[z, y, x] = 0
        image.Modified()
        surfaces.changed()

    slowest("review: told of a stroke", [stroke])
    slowest("review: the surface after a stroke", [surfaces.step])
    slowest("review: looking for what else changed", [surfaces.step])
    slowest("review: another organ after a stroke", changes[:1])
    kept, editor, strokes = KeptNeighbours(), *_editor(scene, node, ct, segment_id)
    for mask in (True, False):
        set_keep_neighbours(editor, True, mask)
        kept.begin(node, organ)
        slowest(f"a stroke, neighbours kept {'by Slicer' if mask else 'by trimming'}", [strokes] * 2)
        slowest("  trimmed", [lambda: kept.trim(editor)])
    slowest("smooth", [lambda: smooth(node, organ)])
    for part in (views, display, surfaces):
        part.restore()


def _editor(scene: Any, node: Any, ct: Any, segment_id: str) -> tuple[Any, Callable[[], None]]:
    """A segment editor node, and a stroke of 61 x 61 x 5 voxels at the organ's edge, applied by Slicer's own logic."""
    import slicer

    from FocusNetSegmentationLib.review.segment_voxels import segment_box
    from FocusNetSegmentationLib.scene.labelmaps import LABELMAP, image_matrix, oriented_image

    editor, logic = scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"), slicer.vtkSlicerSegmentEditorLogic()
    logic.SetMRMLScene(scene)
    logic.SetSegmentEditorNode(editor)
    editor.SetAndObserveSegmentationNode(node)
    editor.SetAndObserveSourceVolumeNode(ct)
    editor.SetSelectedSegmentID(segment_id)
    box = segment_box(node, segment_id)
    assert box is not None
    x, y, z = (int(v) for v in box.mean(axis=0))
    extent = [x, x + 60, y, y + 60, z, z + 4]

    def stroke() -> None:
        image = node.GetSegmentation().GetSegment(segment_id).GetRepresentation(LABELMAP)
        brush = oriented_image(np.ones((5, 61, 61), np.uint8), image_matrix(image))
        brush.SetExtent(*extent)
        logic.ModifySegmentByLabelmap(node, segment_id, brush, logic.ModificationModeAdd, extent, False, False)

    return editor, stroke


def memory_kb(what: str) -> int:
    (line,) = (
        line for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines() if line.startswith(what)
    )
    return int(line.split()[1])


if __name__ == "__main__":
    main()
