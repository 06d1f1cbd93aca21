"""Settings that receiving, asking and sending share: the application entity's settings, TLS, and silence of pynetdicom's own logger."""

from __future__ import annotations

import logging
import ssl
from typing import Any

from ..errors import InputError
from .settings import Settings, Tls

TIMEOUT_S = 30.0  # without an answer from a peer
RECEIVE_TIMEOUT_S = 120.0  # a sender that says nothing for this long is gone


def pynetdicom() -> Any:
    """Return pynetdicom. Its log lines may hold data sets, and so names: the node writes its own. Raises InputError."""
    try:
        import pynetdicom as library
        from pynetdicom import _config
    except ImportError as problem:
        raise InputError(
            'focusnet node needs pynetdicom, which is not installed: pip install "focusnet[node]".'
        ) from problem
    logger = logging.getLogger("pynetdicom")
    logger.handlers = [logging.NullHandler()]
    logger.propagate = False
    logger.setLevel(logging.CRITICAL)
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_RESPONSE_IDENTIFIERS = _config.LOG_REQUEST_IDENTIFIERS = False
    return library


def application(settings: Settings, timeout_s: float = TIMEOUT_S) -> Any:
    """Return an application entity of ours without presentation contexts."""
    entity = pynetdicom().AE(ae_title=settings.ae_title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = timeout_s
    entity.connection_timeout = min(timeout_s, TIMEOUT_S)
    return entity


def server_context(tls: Tls) -> ssl.SSLContext:
    """Return TLS for those who call us; with an authority, they must show a certificate of it. Raises InputError."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _load(context, tls)
    if tls.ca:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(tls: Tls) -> ssl.SSLContext:
    """Return TLS for those whom we call; their certificate is checked against the authority, or the system's. Raises InputError."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    _load(context, tls)
    return context


def _load(context: ssl.SSLContext, tls: Tls) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # BCP 195, as DICOM's secure connection profiles ask
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        if tls.ca:
            context.load_verify_locations(tls.ca)
    except (OSError, ssl.SSLError) as problem:
        raise InputError(
            f"[tls]: {tls.certificate}, {tls.key} or {tls.ca} is no usable PEM file ({problem})."
        ) from problem


def tls_arguments(settings: Settings, host: str, wanted: bool) -> dict[str, Any]:
    """Return what ``AE.associate`` takes for TLS."""
    if not wanted or settings.tls is None:
        return {}
    return {"tls_args": (client_context(settings.tls), host)}
