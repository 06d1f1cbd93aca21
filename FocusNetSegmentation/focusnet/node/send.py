"""Structure sets to where they belong: C-STORE to a DICOM peer, STOW-RS to a DICOMweb service. Whole files or nothing."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from ..errors import InputError
from .dicom_net import application, tls_arguments
from .settings import Destination, Settings

WARNINGS = (0xB000, 0xB006, 0xB007)  # stored, with something coerced or left out (PS3.4 B.2.3)
CONNECT_S, ANSWER_S = 10.0, 120.0  # a DICOMweb service's time to be reached, and to answer
RETRY_SPREAD = 2.0  # each pause is this many times the one before


class NotSent(Exception):  # noqa: N818 - told to the node, which tries again
    """The destination did not take a file; the message says why, in a few words."""


def send(settings: Settings, destination: Destination, files: list[Path]) -> None:
    """Send every file, in one association. Raises NotSent, also if only one of them was not taken: all are sent again then, under
    the same SOP instance UIDs, which a receiver takes for what it has already."""
    if destination.url:
        _stow(destination, files)
    else:
        _store(settings, destination, files)


def pause_s(attempts: int, settings: Settings) -> float:
    """Return how long to wait after the ``attempts``-th failure in a row."""
    return float(min(settings.retry_longest_s, settings.retry_first_s * RETRY_SPREAD ** min(attempts - 1, 30)))


def _store(settings: Settings, destination: Destination, files: list[Path]) -> None:
    import pydicom

    entity = application(settings)
    data = [pydicom.dcmread(file) for file in files]
    for sop_class, syntax in sorted({(str(d.SOPClassUID), str(d.file_meta.TransferSyntaxUID)) for d in data}):
        entity.add_requested_context(sop_class, syntax)
    where = f"{destination.ae_title} at {destination.host}:{destination.port}"
    try:
        tls = tls_arguments(settings, destination.host, destination.tls)
    except InputError as problem:
        raise NotSent(str(problem)) from problem
    association = entity.associate(destination.host, destination.port, ae_title=destination.ae_title, **tls)
    if not association.is_established:
        raise NotSent(f"{where} {'refuses the association' if association.is_rejected else 'does not answer'}")
    try:
        for one in data:
            status = association.send_c_store(one)
            code = status.get("Status") if status else None
            if code is None:
                raise NotSent(f"{where} ended the association before it answered")
            if code != 0 and code not in WARNINGS:
                raise NotSent(f"{where} answered 0x{code:04X}")
    except ValueError as problem:  # no presentation context was accepted
        raise NotSent(f"{where} does not take this kind of object") from problem
    except RuntimeError as problem:
        raise NotSent(f"{where} ended the association") from problem
    finally:
        if association.is_established:
            association.release()


def _stow(destination: Destination, files: list[Path]) -> None:
    try:
        from dicomweb_client.api import DICOMwebClient
        from dicomweb_client.session_utils import create_session, create_session_from_user_pass
    except ImportError as problem:
        raise NotSent('DICOMweb needs dicomweb-client: pip install "focusnet[node]"') from problem
    import pydicom

    try:
        if destination.user:
            password = Path(destination.password_file).read_text(encoding="utf-8").strip()
            session: Any = create_session_from_user_pass(destination.user, password)
        else:
            session = create_session()
        session.request = functools.partial(session.request, timeout=(CONNECT_S, ANSWER_S))
        client = DICOMwebClient(destination.url, session=session)
        client.set_http_retry_params(retry=False)  # the node waits and tries again itself
        answer = client.store_instances([pydicom.dcmread(file) for file in files])
    except Exception as problem:  # requests raises many kinds
        status = getattr(getattr(problem, "response", None), "status_code", None)
        said = f"answered {status}" if status else f"cannot be reached ({type(problem).__name__})"
        raise NotSent(f"{destination.url} {said}") from problem
    if answer.get("FailedSOPSequence"):
        reason = answer.FailedSOPSequence[0].get("FailureReason", 0)
        raise NotSent(f"{destination.url} refused the object (0x{reason:04X})")
    stored = {str(item.ReferencedSOPInstanceUID) for item in answer.get("ReferencedSOPSequence", [])}
    if len(stored) < len(files):
        raise NotSent(f"{destination.url} confirmed {len(stored)} of {len(files)} objects")
