"""The node's ear: C-ECHO and C-STORE from peers on the allow-list. An instance is acknowledged when the spool has it on disk."""

from __future__ import annotations

import logging
from typing import Any

from ..errors import InputError, OutputError
from ..files.disk import is_full
from .dicom_net import RECEIVE_TIMEOUT_S, application, pynetdicom, server_context
from .instance import read_instance
from .settings import Settings
from .spool import Spool, SpoolFull

log = logging.getLogger("focusnet.node")

SUCCESS, OUT_OF_RESOURCES, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000  # PS3.4 GG.4.2
REJECTED_PERMANENT, BY_SERVICE_USER, CALLING_AE_NOT_RECOGNIZED = 0x01, 0x01, 0x03  # PS3.8 9.3.4
IMAGES = (  # what rules may name: CT, enhanced and legacy CT (refused later with the reason), MR, PET
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.2.2",
    "1.2.840.10008.5.1.4.1.1.4",
    "1.2.840.10008.5.1.4.1.1.128",
)
TRANSFER_SYNTAXES = (  # those that a plain installation decodes
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.5",
)


class Receiver:
    """Listens from ``start`` to ``stop``; each association is served by a thread of pynetdicom's."""

    def __init__(self, settings: Settings, spool: Spool) -> None:
        self.settings, self.spool = settings, spool
        self.stored = self.refused = 0
        self._server: Any = None
        self._associations: dict[int, Any] = {}  # those that brought instances

    def start(self) -> None:
        """Raises OutputError if the port cannot be had."""
        library = pynetdicom()
        evt = library.evt
        entity = application(self.settings, RECEIVE_TIMEOUT_S)
        entity.require_called_aet = True
        entity.maximum_associations = 32
        entity.maximum_pdu_size = 131_072  # bytes; the default of 16 kB makes a slice thirty messages
        entity.add_supported_context("1.2.840.10008.1.1")  # verification
        for sop_class in IMAGES:
            entity.add_supported_context(sop_class, list(TRANSFER_SYNTAXES))
        handlers = [
            (evt.EVT_REQUESTED, self._requested),
            (evt.EVT_C_ECHO, lambda event: SUCCESS),
            (evt.EVT_C_STORE, self._store),
        ]
        tls = self.settings.tls
        try:
            self._server = entity.start_server(
                (self.settings.host, self.settings.port),
                block=False,
                ssl_context=None if tls is None else server_context(tls),
                evt_handlers=handlers,
            )
        except OSError as problem:
            raise OutputError(
                f"Port {self.settings.port} on {self.settings.host} cannot be had ({problem.strerror}); choose another port in the settings."
            ) from problem

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()

    def _requested(self, event: Any) -> None:
        """Reject whom the allow-list does not know, by AE title and, where the list says one, by address."""
        association = event.assoc
        title, address = (
            str(association.requestor.primitive.calling_ae_title).strip(),
            str(association.requestor.address),
        )
        peer = self.settings.peer(title)
        if peer is None or (peer.host and address not in addresses(peer.host)):
            self.refused += 1
            why = "is not on the list of peers" if peer is None else f"is expected from {peer.host}"
            log.warning("refused association: AE title %s %s (called from %s)", ascii(title), why, address)
            association.acse.send_reject(REJECTED_PERMANENT, BY_SERVICE_USER, CALLING_AE_NOT_RECOGNIZED)
            association.is_rejected = True
            association.kill()

    def _store(self, event: Any) -> int:
        sender = str(event.assoc.requestor.ae_title).strip()
        try:
            encoded = event.encoded_dataset()
            instance = read_instance(encoded)
        except InputError as problem:
            log.warning("refused an instance from %s: %s", sender, problem)
            return CANNOT_UNDERSTAND
        self._associations[id(event.assoc)] = event.assoc
        try:
            kept = self.spool.store(instance, encoded, sender, id(event.assoc))
        except SpoolFull as problem:
            log.error("refused an instance from %s: %s; free some room or raise spool_limit_gb", sender, problem)
            return OUT_OF_RESOURCES
        except OSError as problem:
            log.error("refused an instance from %s: the spool cannot be written (%s)", sender, problem.strerror)
            return OUT_OF_RESOURCES if is_full(problem) else CANNOT_UNDERSTAND
        self.stored += 1
        if kept == "changed":
            log.warning(
                "series %s: an instance came again with another content; the newer one counts", instance.series_uid
            )
        return SUCCESS

    def note_ended(self) -> None:
        """Tell the spool which associations are over. Asked for, not announced: the events of a release and of the closed
        connection come from two threads in either order. Raises OSError."""
        for key, association in list(self._associations.items()):
            if not association.is_alive():
                self.spool.association_ended(key, bool(association.is_released))
                del self._associations[key]


def addresses(host: str) -> set[str]:
    """Return the addresses of a host's name, asked anew each time: they change."""
    import socket

    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(host, None)} | {host}
    except OSError:
        return {host}
