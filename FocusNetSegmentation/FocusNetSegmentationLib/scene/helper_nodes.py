"""Nodes that belong to a result and that nobody edits: the model's own copy, shape priors, coloured distances, seeds.

Each is named by a node reference of its segmentation and has an attribute of the same name. They are saved with the scene, so that what is
invisible has to be invisible again when the scene is loaded: a node without a display node gets a visible one then.
"""

from __future__ import annotations

import slicer

from .types import Node, Scene, SegmentationNode

FROZEN_ROLE = "FocusNet.ModelResult"  # node reference: from a segmentation to the frozen copy
SHAPE_PRIOR_ROLE, DISTANCE_ROLE, SEED_ROLE = (
    "FocusNet.Ghost",
    "FocusNet.Distance",
    "FocusNet.Seed",
)  # to what a review shows
OWNED_ROLES = (FROZEN_ROLE, SHAPE_PRIOR_ROLE, DISTANCE_ROLE, SEED_ROLE)  # also an attribute of the nodes themselves
COVERED = "FocusNet.Covered"  # of a coloured surface: ID of the segment whose own surface is hidden meanwhile


def add_hidden_node(scene: Scene, node: Node, role: str, value: str = "1") -> None:
    """Add a node that is drawn nowhere and stands in no list.

    It is hidden after it was added: a node that is hidden before gets no place in the subject hierarchy, and then Slicer's
    segmentations plugin writes one error for each of its segments.
    """
    scene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    hide(node)
    node.SetSelectable(False)
    node.SetHideFromEditors(True)
    _leave_out_of_the_tree(scene, node)
    node.SetAttribute(role, value)  # last: whoever hears of the new node must not take it for an orphan


def hide(node: Node) -> bool:
    """Draw a node in no view, its colour legend included. Returns whether it was drawn."""
    drawn = False
    for index in range(node.GetNumberOfDisplayNodes()):
        display = node.GetNthDisplayNode(index)
        if display is not None and display.GetVisibility():
            display.SetVisibility(False)
            drawn = True
    return drawn


def hide_helpers(scene: Scene) -> int:
    """Hide every node of this kind, and show again what a coloured surface covered; call it when a scene was loaded.

    Returns how many were drawn. Scenes of versions that gave the model's own copy no display node come right by it.
    """
    count = 0
    for node in helpers(scene):
        if not node.GetNumberOfDisplayNodes():
            node.CreateDefaultDisplayNodes()
        count += hide(node)
        if node.GetAttribute(FROZEN_ROLE) or node.GetAttribute(SHAPE_PRIOR_ROLE):
            node.SetHideFromEditors(True)
            _leave_out_of_the_tree(scene, node)
        if node.GetAttribute(COVERED):
            _uncover(scene, node)
    return count


def helpers(scene: Scene) -> list[Node]:
    """Every node of this kind in the scene, whether or not its segmentation is still there."""
    return [n for n in nodes_of(scene, "vtkMRMLDisplayableNode") if any(n.GetAttribute(role) for role in OWNED_ROLES)]


def frozen_copy(segmentation_node: SegmentationNode | None) -> SegmentationNode | None:
    """The model's own result that belongs to this segmentation, None if there is none."""
    return segmentation_node.GetNodeReference(FROZEN_ROLE) if segmentation_node is not None else None


def remove_orphans(scene: Scene) -> int:
    """Remove frozen copies, shape priors and seeds whose segmentation was deleted. Returns how many."""
    used = set()
    for node in nodes_of(scene, "vtkMRMLSegmentationNode"):
        for role in OWNED_ROLES:
            used |= {node.GetNthNodeReferenceID(role, i) for i in range(node.GetNumberOfNodeReferences(role))}
    orphans = [node for node in helpers(scene) if node.GetID() not in used]
    for node in orphans:
        scene.RemoveNode(node)
    return len(orphans)


def nodes_of(scene: Scene, kind: str) -> list[Node]:
    """Every node of a class, in the scene's order."""
    return [scene.GetNthNodeByClass(i, kind) for i in range(scene.GetNumberOfNodesByClass(kind))]


def _uncover(scene: Scene, surface: Node) -> None:
    covered = surface.GetAttribute(COVERED)
    surface.RemoveAttribute(COVERED)
    for node in nodes_of(scene, "vtkMRMLSegmentationNode"):
        references = [
            node.GetNthNodeReferenceID(DISTANCE_ROLE, i) for i in range(node.GetNumberOfNodeReferences(DISTANCE_ROLE))
        ]
        if surface.GetID() in references and node.GetDisplayNode() is not None:
            node.GetDisplayNode().SetSegmentVisibility3D(covered, True)


def _leave_out_of_the_tree(scene: Scene, node: Node) -> None:
    """The Data module's tree does not offer it either, where the subject hierarchy knows it."""
    hierarchy = scene.GetFirstNodeByClass("vtkMRMLSubjectHierarchyNode")
    if hierarchy is None or not hasattr(slicer, "vtkMRMLSubjectHierarchyConstants"):
        return
    item = hierarchy.GetItemByDataNode(node)
    if item != hierarchy.GetInvalidItemID():
        name = slicer.vtkMRMLSubjectHierarchyConstants.GetSubjectHierarchyExcludeFromTreeAttributeName()
        hierarchy.SetItemAttribute(item, name, "1")
