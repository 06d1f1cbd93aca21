"""What a slice view of Slicer draws, as pixels: Slicer's own displayable managers on an off-screen window. No desktop is needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

PIXELS = 400
MANAGERS = ("vtkMRMLModelSliceDisplayableManager", "vtkMRMLSegmentationsDisplayableManager2D")


class Screen:
    """One axial view of ``PIXELS`` x ``PIXELS`` without a CT, so that everything that is not black is drawn over it."""

    def __init__(
        self, scene: Any, center_ras: tuple[float, float, float] = (0.0, 0.0, 0.5), field_mm: float = 100.0
    ) -> None:
        self.application = slicer.vtkSlicerApplicationLogic()
        self.application.SetMRMLScene(scene)
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)
        self.view = scene.AddNewNodeByClass("vtkMRMLSliceNode", "Red")
        self.view.SetLayoutName("Red")
        self.view.SetOrientationToAxial()
        self.view.SetDimensions(PIXELS, PIXELS, 1)
        self.view.SetFieldOfView(field_mm, field_mm, 1.0)
        self.view.JumpSliceByCentering(*center_ras)
        self.window, self.renderer = vtk.vtkRenderWindow(), vtk.vtkRenderer()
        self.window.SetOffScreenRendering(1)
        self.window.SetSize(PIXELS, PIXELS)
        self.window.AddRenderer(self.renderer)
        self.interactor = vtk.vtkRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        factory.SetMRMLApplicationLogic(self.application)
        for name in MANAGERS:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self.group = factory.InstantiateDisplayableManagers(self.renderer)
        self.group.SetMRMLDisplayableNode(self.view)
        camera = self.renderer.GetActiveCamera()
        camera.ParallelProjectionOn()
        camera.SetParallelScale(PIXELS / 2)
        camera.SetFocalPoint(PIXELS / 2, PIXELS / 2, 0)
        camera.SetPosition(PIXELS / 2, PIXELS / 2, 500)
        camera.SetClippingRange(1, 1000)

    def pixels(self) -> np.ndarray:
        """RGB (row from below, column, 3) as it is drawn now. Skips the test where nothing can be rendered."""
        self.window.Render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(self.window)
        grab.ReadFrontBufferOff()
        grab.Update()
        scalars = grab.GetOutput().GetPointData().GetScalars()
        if scalars is None:
            pytest.skip("nothing can be rendered here")
        return vtk_to_numpy(scalars).reshape(PIXELS, PIXELS, -1)[:, :, :3].copy()

    def drawn(self) -> np.ndarray:
        """bool (row, column): where anything is drawn."""
        return np.asarray(self.pixels().max(axis=2) > 30)
