"""How many instances a series has, asked of the peer that sent it (C-FIND, Study Root)."""

from __future__ import annotations

from typing import Any

from .dicom_net import application, pynetdicom, tls_arguments
from .settings import Peer, Settings

STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
PENDING = (0xFF00, 0xFF01)
ASK_TIMEOUT_S = 10.0


def count_instances(settings: Settings, peer: Peer, study_uid: str, series_uid: str) -> int | None:
    """Return the number of instances that the peer has of a series; None if it does not answer or does not know the series.

    Asks for NumberOfSeriesRelatedInstances, which is optional in DICOM (PS3.4 C.3.4), then counts answers at image level.
    """
    pynetdicom()
    from pydicom.dataset import Dataset

    entity = application(settings, ASK_TIMEOUT_S)
    entity.add_requested_context(STUDY_ROOT_FIND)
    association = entity.associate(
        peer.host, peer.port, ae_title=peer.ae_title, **tls_arguments(settings, peer.host, peer.tls)
    )
    if not association.is_established:
        return None
    try:
        query = Dataset()
        query.QueryRetrieveLevel = "SERIES"
        query.StudyInstanceUID, query.SeriesInstanceUID = study_uid, series_uid
        query.NumberOfSeriesRelatedInstances = None
        answers = _answers(association, query, STUDY_ROOT_FIND)
        counts = [int(a.NumberOfSeriesRelatedInstances) for a in answers if a.get("NumberOfSeriesRelatedInstances")]
        if counts:
            return max(counts)
        if not answers:
            return None
        query = Dataset()
        query.QueryRetrieveLevel = "IMAGE"
        query.StudyInstanceUID, query.SeriesInstanceUID, query.SOPInstanceUID = study_uid, series_uid, ""
        return len({str(a.get("SOPInstanceUID")) for a in _answers(association, query, STUDY_ROOT_FIND)}) or None
    except (ValueError, TypeError, RuntimeError, OSError):
        return None  # a peer that answers nonsense is one that does not answer
    finally:
        association.release()


def _answers(association: Any, query: Any, model: Any) -> list[Any]:
    return [
        answer
        for status, answer in association.send_c_find(query, model)
        if status and status.Status in PENDING and answer is not None
    ]
