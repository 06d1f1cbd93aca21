"""The panel's state. It lives in the scene, so a saved scene brings the panel back as it was."""

from typing import Annotated

from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper


# Slicer reads these annotations when the class is made; as texts (``from __future__ import annotations``) not every version does.
@parameterNodeWrapper
class FocusNetSegmentationParameterNode:
    """``model``: a bundle's name, "" for the first there is. ``device``: as on the command line. ``organsLeftOut``: TG-263 names with
    commas, so that a model's new organs are drawn. ``show3D``: make surfaces when a run is done. ``huOffset``: added to every voxel.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    resultSegmentation: vtkMRMLSegmentationNode
    model: str = ""
    device: str = "auto"
    organsLeftOut: str = ""
    show3D: bool = False
    huOffset: Annotated[int, WithinRange(-4096, 4096)] = 0
