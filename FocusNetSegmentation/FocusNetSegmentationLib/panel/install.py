"""Installation and devices: what is there, what is missing, and one button that installs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from ..messages import marked

if TYPE_CHECKING:
    from ..install.installer import Installer, Step
    from ..install.preflight import Item, Preflight
    from ..process.background import BackgroundCommand
    from .panel import Panel


class InstallSection:
    """The device list and the Installation section. torch is looked at by a process of its own, never imported here."""

    def __init__(self, panel: Panel) -> None:
        self.panel, self.ui = panel, panel.ui
        self.found: Preflight | None = None  # Preflight, None until the first look is done
        self.command: BackgroundCommand | None = None
        self.installing = False
        self._devices: list[tuple[str, str]] = []
        self._updating = False
        ui = self.ui
        ui.deviceComboBox.connect("currentIndexChanged(int)", self.onDeviceChanged)
        ui.checkButton.connect("clicked(bool)", lambda *_: self.check())
        ui.installButton.connect("clicked(bool)", lambda *_: self.install())
        ui.installFromFolderButton.connect("clicked(bool)", self.onInstallFromFolder)
        ui.installProgressBar.setRange(0, 100)
        ui.installProgressBar.hide()
        ui.installStatusLabel.hide()
        self._show_devices()

    @property
    def missing(self) -> bool:
        """Return whether a look has found that something is missing; until then Apply may be tried."""
        return self.found is not None and not self.found.ready

    @property
    def done(self) -> bool:
        return self.found is not None and self.found.ready

    # Looking -----------------------------------------------------------------------------------------------------------------------

    def check_once(self) -> None:
        if self.found is None and self.command is None:
            self.check()

    def check(self) -> None:
        """Start a look; the panel stays alive meanwhile."""
        from ..install.preflight import probe_command
        from ..process.background import BackgroundCommand

        if self.command is not None or self.installing:
            return
        self.command = BackgroundCommand(self._probed)
        self.ui.preflightLabel.text = _("Looking...")
        try:
            self.command.start(*probe_command())
        except FileNotFoundError as problem:
            self._probed(127, "", str(problem))
        self.update()

    def _probed(self, status: int, out: str, err: str) -> None:
        from ..install.preflight import parse_probe, preflight

        self.command = None
        self.show(preflight(torch=parse_probe(status, out, err)))

    def show(self, found: Preflight) -> None:
        """List a Preflight, and its devices."""
        self.found = found
        self.ui.preflightLabel.text = "<br>".join(_lines(found.items))
        if not found.ready:
            self.ui.installationCollapsibleButton.collapsed = False
        self._show_devices()
        self.panel.refresh()

    def update(self) -> None:
        busy = self.command is not None or self.installing
        runs = getattr(self.panel, "runs", None)
        running = runs is not None and runs.is_running
        ui = self.ui
        ui.checkButton.enabled = not busy
        ui.installButton.enabled = self.missing and not busy and not running
        ui.installFromFolderButton.enabled = self.missing and not busy and not running
        ui.installationCollapsibleButton.text = (
            _("Installation: something is missing") if self.missing else _("Installation")
        )
        self._select_device()

    # Devices -----------------------------------------------------------------------------------------------------------------------

    def _show_devices(self) -> None:
        """Automatic, CPU, and what the probe found with its free memory."""
        devices = [("auto", _("Automatic")), ("cpu", _("CPU"))]
        for device in self.found.torch.devices if self.found is not None else ():
            title = device["title"]
            if device.get("free_mb") is not None:
                title = _("{title} ({free:.1f} of {total:.1f} GB free)").format(
                    title=title, free=device["free_mb"] / 1024, total=device["total_mb"] / 1024
                )
            devices.append((device["name"], f"{device['name']}: {title}"))
        if devices == self._devices:
            return
        self._devices = devices
        self._updating = True
        try:
            combo = self.ui.deviceComboBox
            combo.clear()
            for _name, title in devices:
                combo.addItem(title)
        finally:
            self._updating = False
        self._select_device()

    def _select_device(self) -> None:
        """A scene's device that this computer does not have is shown as Automatic once that is known."""
        parameters = self.panel.parameters
        names = [name for name, _title in self._devices]
        wanted = parameters.device if parameters is not None else "auto"
        if wanted not in names and self.found is not None and parameters is not None:
            parameters.device = wanted = "auto"
        self._updating = True
        try:
            self.ui.deviceComboBox.setCurrentIndex(names.index(wanted) if wanted in names else 0)
        finally:
            self._updating = False

    def onDeviceChanged(self, index: int) -> None:
        if not self._updating and self.panel.parameters is not None and 0 <= index < len(self._devices):
            self.panel.parameters.device = self._devices[index][0]

    # Installing --------------------------------------------------------------------------------------------------------------------

    def onInstallFromFolder(self, *_args: object) -> None:
        folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder of wheels (*.whl)"))
        if folder:
            self.install(str(folder))

    def make_installer(self, wheels: str | None) -> Installer:
        """Return an installer with Slicer's own pip and the PyTorch extension; None for the latter where it is not installed."""
        from ..install.installer import Installer, PyTorchExtension, SlicerPip

        return Installer(SlicerPip(), PyTorchExtension.find(), self._consent, self._progress, wheels)

    def install(self, wheels: str | None = None) -> None:
        """Install what is missing. On the main thread, because Slicer's pip functions may show dialogs."""
        from ..install.installer import plan

        if self.found is None or self.installing:
            return
        self.installing = True
        self.ui.installProgressBar.setVisible(True)
        self.update()
        try:
            report = self.make_installer(wheels).install(plan(self.found))
        finally:
            self.installing = False
            self.ui.installProgressBar.hide()
        self._say("ok" if report.ok else "" if report.cancelled else "error", report.message)
        if not report.ok and not report.cancelled:
            slicer.util.errorDisplay(report.message, windowTitle=_("Installation"), detailedText=report.details)
        if report.cancelled:
            self.update()
        else:
            self.check()

    def _consent(self, steps: Sequence[Step]) -> bool:
        titles = "\n".join(f"- {step.title}" for step in steps)
        question = _("These steps change Slicer's own Python:\n\n{steps}\n\nGo on?").format(steps=titles)
        return bool(slicer.util.confirmOkCancelDisplay(question, _("Install?")))

    def _progress(self, title: str, fraction: float, line: str) -> None:
        self.ui.installProgressBar.setValue(round(100 * fraction))
        self._say("", f"{title}: {line[:200]}" if line and line != title else title)
        slicer.app.processEvents()

    def _say(self, level: str, text: str) -> None:
        self.ui.installStatusLabel.text = marked(level, text)
        self.ui.installStatusLabel.setVisible(bool(text))

    def close(self) -> None:
        if self.command is not None:
            self.command.stop()
            self.command = None


def _lines(items: Sequence[Item]) -> list[str]:
    """What is missing first; the packages that are there share one line."""
    from ..install.preflight import PACKAGES, SHIPPED

    order = {"missing": 0, "warning": 1, "ok": 2}
    packages = {requirement.partition(">=")[0] for requirement in (*PACKAGES, *SHIPPED)}
    lines, fine = [], []
    for item in sorted(items, key=lambda item: order.get(item.level, 1)):
        if item.level == "ok" and item.key in packages:
            fine.append(item.text)
        else:
            lines.append(marked(item.level, item.text if item.title in item.text else f"{item.title}: {item.text}"))
    return [*lines, *([marked("ok", ", ".join(fine))] if fine else [])]
