"""The grey-scale window of a CT: soft tissue from the start, what suits each organ in a review, what a person sets by hand, the user's own again."""

from __future__ import annotations

from focusnet.image.organs import without_side

from ..scene.types import Node, Scene, VolumeNode

SOFT_TISSUE = (350.0, 40.0)  # window width and level in HU
BRAIN = (120.0, 40.0)
BONE = (2000.0, 500.0)
PRESETS = {
    "soft tissue": SOFT_TISSUE,
    "brain": BRAIN,
    "bone": BONE,
}  # in the order in which ``cycle`` goes through them
OWN = "own"
WINDOWS = {  # by TG-263 name without its side; every other organ: soft tissue
    **dict.fromkeys(("Brain", "Brainstem", "OpticChiasm", "Pituitary", "Lobe_Temporal", "SpinalCord"), BRAIN),
    **dict.fromkeys(("Bone_Mandible", "Cochlea", "Ear_Internal", "Ear_Middle", "Joint_TM"), BONE),
}  # fmt: skip

Window = tuple[float, float]


def window_for(organ: str) -> Window:
    """Return window width and level (HU) in which an organ is judged."""
    return WINDOWS.get(without_side(organ), SOFT_TISSUE)


def show_soft_tissue(volume_node: VolumeNode | None) -> bool:
    """Give a CT that was just chosen the soft-tissue window; return whether that changed anything.

    Only where nobody has set a window: Slicer's automatic one spans the full range, in which soft tissue is one grey. A window from the DICOM
    header or from a person stays.
    """
    if volume_node is None:
        return False
    if volume_node.GetDisplayNode() is None:
        volume_node.CreateDefaultDisplayNodes()
    display = volume_node.GetDisplayNode()
    if display is None or not display.GetAutoWindowLevel():
        return False
    _set(display, SOFT_TISSUE)
    return True


class Windows:
    """Windows during a review. A window that a person sets by hand stays for that organ until the review ends."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._before: dict[str, tuple[bool, float, float]] = {}  # by ID of the display node
        self._given: dict[
            str, tuple[str, Window]
        ] = {}  # by ID of the display node: the organ shown, the window that it got
        self._by_hand: dict[tuple[str, str], Window] = {}  # by ID of the display node and organ
        self._own: dict[tuple[str, str], Window] = {}  # what the preset "own" stands for

    @property
    def is_active(self) -> bool:
        return bool(self._before)

    def show(self, volume_node: VolumeNode | None, organ: str) -> None:
        """Set the window in which an organ is judged: the one that a person has set for it, else the one that suits it."""
        display = self._begin(volume_node)
        if display is not None:
            key = (display.GetID(), organ)
            self._give(display, organ, self._by_hand.get(key) or window_for(organ))

    def cycle(self, volume_node: VolumeNode | None, organ: str | None = None) -> str:
        """Go on to the next preset and return its name: soft tissue, brain, bone, then the person's own, if there is one; "" without a CT.

        The choice stays for that organ, as a window that was set with the mouse does.
        """
        display = self._begin(volume_node)
        if display is None:
            return ""
        key, now = (display.GetID(), organ or ""), _window(display)
        if now not in PRESETS.values():
            self._own[key] = now
        automatic, *before = self._before[display.GetID()]
        own = self._own.get(key) or (None if automatic else (before[0], before[1]))
        choices = dict(PRESETS)
        if own is not None and own not in PRESETS.values():
            choices[OWN] = own
        names, values = list(choices), list(choices.values())
        name = names[(values.index(now) + 1) % len(names)] if now in values else names[0]
        self._by_hand[key] = choices[name]
        self._give(display, organ or "", choices[name])
        return name

    def restore(self) -> None:
        """Give every CT the window back that it had before the review."""
        for node_id, (automatic, width, level) in self._before.items():
            display = self.scene.GetNodeByID(node_id)
            if display is not None:
                display.SetWindowLevel(width, level)
                display.SetAutoWindowLevel(automatic)
        self.forget()

    def forget(self) -> None:
        """Forget what was there before: the scene is going."""
        self._before, self._given, self._by_hand, self._own = {}, {}, {}, {}

    def _begin(self, volume_node: VolumeNode | None) -> Node | None:
        """Keep what there was, and note what a person has changed since the last organ was shown."""
        display = volume_node.GetDisplayNode() if volume_node is not None else None
        if display is None:
            return None
        node_id, now = display.GetID(), _window(display)
        self._before.setdefault(node_id, (bool(display.GetAutoWindowLevel()), *now))
        if node_id in self._given:
            organ, given = self._given[node_id]
            if now != given:
                self._by_hand[node_id, organ] = now
        return display

    def _give(self, display: Node, organ: str, window: Window) -> None:
        self._given[display.GetID()] = (organ, window)
        _set(display, window)


def _window(display: Node) -> Window:
    return (float(display.GetWindow()), float(display.GetLevel()))


def _set(display: Node, window: Window) -> None:
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(*window)
