"""Installation and devices: what is there, what is missing, and one button that installs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from ..messages import marked
from .install_banner import InstallBanner

if TYPE_CHECKING:
    from ..install.installer import Installer, InstallReport
    from ..install.plan import Step, TorchSource
    from ..install.preflight import Item, Preflight
    from ..process.background import BackgroundCommand
    from .panel import Panel


class InstallSection:
    """The device list and the Installation section. torch is looked at by a process of its own, never imported here."""

    def __init__(self, panel: Panel) -> None:
        self.panel, self.ui = panel, panel.ui
        self.found: Preflight | None = None  # Preflight, None until the first look is done
        self.command: BackgroundCommand | None = None
        self.installer: Installer | None = None
        self._note = ""  # what is left to do after an installation
        self._devices: list[tuple[str, str]] = []
        self._updating = False
        ui = self.ui
        ui.deviceComboBox.connect("currentIndexChanged(int)", self.onDeviceChanged)
        ui.checkButton.connect("clicked(bool)", lambda *_: self.check())
        ui.installButton.connect("clicked(bool)", lambda *_: self.install())
        ui.installFromFolderButton.connect("clicked(bool)", self.onInstallFromFolder)
        self.banner = InstallBanner(ui.inputsCollapsibleButton, self.install, self.cancel)
        self.cancelButton = qt.QPushButton(_("Cancel the installation"))
        self.cancelButton.connect("clicked(bool)", lambda *_: self.cancel())
        self.cancelButton.hide()
        ui.installationCollapsibleButton.layout().addWidget(self.cancelButton)
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

    @property
    def installing(self) -> bool:
        return self.installer is not None and self.installer.is_running

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
        self.banner.show(self.found, self._plan(), self.installing, ui.installButton.enabled)
        ui.installProgressBar.setVisible(self.installing)
        self.cancelButton.setVisible(self.installing)
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

    def make_installer(self, steps: Sequence[Step]) -> Installer:
        """Return an installer of ``steps`` that tells this section how it goes."""
        from ..install.installer import InstallCallbacks, Installer

        return Installer(steps, InstallCallbacks(self._installed, self._progress))

    def install(self, wheels: str | None = None) -> None:
        """Ask, then install what is missing in processes of their own; Slicer stays usable, and Cancel ends it."""
        from pathlib import Path

        from ..install.plan import EXTENSION_FIRST, TorchSource, plan

        if self.found is None or self.installing:
            return
        if wheels is not None and not any(Path(wheels).glob("*.whl")):
            text = _("The folder {folder} holds no wheels (*.whl). Choose the folder that holds them.")
            self._say("error", text.format(folder=wheels))
            return
        source = TorchSource.INDEX if wheels is not None else self._torch_source()
        steps = plan(self.found, source, wheels)
        self._note = EXTENSION_FIRST if source is TorchSource.NOWHERE else ""
        if not steps:
            self._say("warning", self._note)
        elif not self._consent(steps):
            self._say("", _("Nothing was installed, as you chose."))
        else:
            self.installer = self.make_installer(steps)
            self.installer.start()
        self.panel.refresh()

    def cancel(self) -> None:
        if self.installer is not None:
            self.installer.cancel()

    def _plan(self) -> list[Step]:
        """Return what Install would do if PyTorch came the shortest way."""
        from ..install.plan import TorchSource, find_source, plan

        if self.found is None or self.found.ready:
            return []
        return plan(self.found, find_source() or TorchSource.INDEX)

    def _torch_source(self) -> TorchSource:
        """Return where PyTorch comes from; without the PyTorch extension a person says it."""
        from ..install.plan import TorchSource, find_source, index_build
        from ..install.preflight import torch_item

        assert self.found is not None
        known = find_source()
        if known is not None or torch_item(self.found.torch).level != "missing":
            return known or TorchSource.INDEX
        build, _options, cost = index_build(bool(self.found.torch.cards))
        question = _(
            "The PyTorch extension is not installed; it picks the build of PyTorch that fits a GPU.\n\n"
            "Yes: take PyTorch from the package index now ({build}: {cost}).\n"
            "No: install the extension PyTorch in the Extensions Manager yourself; only the small packages are installed now."
        )
        take = slicer.util.confirmYesNoDisplay(question.format(build=build, cost=cost), windowTitle=_("PyTorch"))
        return TorchSource.INDEX if take else TorchSource.NOWHERE

    def _consent(self, steps: Sequence[Step]) -> bool:
        titles = "\n".join(f"- {step}" for step in steps)
        question = _("These steps change Slicer's own Python:\n\n{steps}\n\nGo on?").format(steps=titles)
        return bool(slicer.util.confirmOkCancelDisplay(question, _("Install?")))

    def _progress(self, title: str, fraction: float, line: str) -> None:
        text = f"{title}: {line[:200]}" if line and line != title else title
        self.ui.installProgressBar.setValue(round(100 * fraction))
        self.banner.progress(fraction, text)
        self._say("", text)

    def _installed(self, report: InstallReport) -> None:
        self.installer = None
        message = " ".join(filter(None, (report.message, "" if report.cancelled else self._note)))
        level = "" if report.cancelled else "warning" if self._note and report.ok else "ok" if report.ok else "error"
        self._say(level, message)
        if not report.ok and not report.cancelled:
            slicer.util.errorDisplay(message, windowTitle=_("Installation"), detailedText=report.details)
        self.check()

    def _say(self, level: str, text: str) -> None:
        self.ui.installStatusLabel.text = marked(level, text)
        self.ui.installStatusLabel.setVisible(bool(text))

    def close(self) -> None:
        """Leave no process and no widget of ours."""
        if self.command is not None:
            self.command.stop()
            self.command = None
        if self.installer is not None:
            self.installer.close()
            self.installer = None
        self.banner.close()


def _lines(items: Sequence[Item]) -> list[str]:
    """Return the lines of the list, what is missing first; the packages that are there share one line."""
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
