"""``focusnet node``: a DICOM node that takes CT series and sends structure sets."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .options import Commands, add_command

if TYPE_CHECKING:
    from ..node.settings import Settings


def add_arguments(commands: Commands) -> None:
    """Add the command and its options."""
    parser = add_command(
        commands, "node", "Be a DICOM node: CT series come in, structure sets go out (docs/node.md).", node
    )
    parser.add_argument("settings", type=Path, help="the TOML file: peers, rules, destinations")
    parser.add_argument("--check", action="store_true", help="check the settings and their models, and end")


def node(options: argparse.Namespace) -> int:
    """Run until SIGTERM or Ctrl-C. Everything that is wrong with the settings is told before a port is opened."""
    from ..node.dicom_net import pynetdicom, server_context
    from ..node.settings import read_settings

    settings = read_settings(options.settings)
    pynetdicom()
    check_rules(settings)
    if settings.tls is not None:
        server_context(settings.tls)
    if options.check:
        print(
            f"{options.settings} is in order: {len(settings.peers)} peers, {len(settings.rules)} rules, {len(settings.destinations)} destinations."
        )
        return 0
    start_log(options.debug)
    return run(settings)


def start_log(debug: bool = False) -> None:
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    logging.getLogger("focusnet.node").setLevel(logging.DEBUG if debug else logging.INFO)


def check_rules(settings: Settings) -> None:
    """Raises InputError, ModelError for a rule whose model or organs are not there."""
    from ..image.organs import find_organ
    from ..nets.several import load_bundles

    for rule in settings.rules:
        bundles = load_bundles(rule.model)
        known = {organ.name for bundle in bundles for organ in bundle.organs}
        for name in rule.organs:
            organ = find_organ(name)
            if organ is None or organ.name not in known:
                raise InputError(
                    f"Rule {rule.name!r}: model {rule.model} has no organ {name!r}; it knows {', '.join(sorted(known))}."
                )
        if "seg" in rule.outputs:
            check_highdicom()


def check_highdicom() -> None:
    import importlib.util

    if importlib.util.find_spec("highdicom") is None:
        raise InputError(
            'A rule with outputs "seg" needs highdicom, which is not installed: pip install "focusnet[dicom]".'
        )


def run(settings: Settings, worker_command: Sequence[str] | None = None) -> int:
    """Serve until told to stop; ``worker_command`` stands in for the process that contours. Raises OutputError for a port or a spool that cannot be had."""
    from ..node.service import Node
    from ..node.settings import LOCAL
    from ..node.status_page import StatusServer
    from ..node.worker import COMMAND

    log = logging.getLogger("focusnet.node")
    stop = threading.Event()
    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: stop.set())
    running = Node(settings, worker_command or COMMAND)
    page = StatusServer(running)
    running.start()
    try:
        page.start()
        at = f"; status at http://{LOCAL}:{settings.status_port}/" if settings.status_port else ""
        log.info(
            "%s listens on %s:%d%s; spool %s%s",
            settings.ae_title,
            settings.host,
            settings.port,
            ", TLS" if settings.tls else "",
            settings.spool,
            at,
        )
        if settings.host != LOCAL and settings.tls is None:
            log.warning("other computers may connect, and nothing is encrypted: use [tls], or a network of its own")
        stop.wait()
        log.info("stopping; what was received stays in the spool")
    finally:
        page.stop()
        running.stop()
    return 0
