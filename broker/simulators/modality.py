"""A modality: asks for its worklist, reports performed steps (MPPS) and stores images, by pynetdicom and pydicom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid
from pynetdicom import AE, _config
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    ModalityPerformedProcedureStep,
    ModalityWorklistInformationFind,
    Verification,
)

IMAGE_SIZE_PIXELS = 16

STEP_KEYS = (
    "ScheduledStationAETitle",
    "ScheduledProcedureStepStartDate",
    "ScheduledProcedureStepStartTime",
    "Modality",
    "ScheduledPerformingPhysicianName",
    "ScheduledProcedureStepDescription",
    "ScheduledProcedureStepID",
    "ScheduledProcedureStepStatus",
)
ITEM_KEYS = (
    "SpecificCharacterSet",
    "AccessionNumber",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "RequestedProcedureID",
    "RequestedProcedureDescription",
)


class ModalityError(Exception):
    """No association, no answer within the limit, or a status that is no success."""


@dataclass(slots=True)
class Performed:
    """A performed step that the modality reports; item is the worklist item it was made from."""

    uid: str
    item: Dataset
    images: list[Dataset] = field(default_factory=list)


class Modality:
    """One AE title that talks to the broker; a new association for each action, as many scanners do."""

    def __init__(
        self,
        host: str,
        port: int,
        ae_title: str = "CT1",
        called_ae_title: str = "MWLBROKER",
        timeout_seconds: float = 10.0,
        storage_classes: Sequence[str] = (SecondaryCaptureImageStorage,),
    ) -> None:
        _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False
        self.ae_title = ae_title
        self._address = (host, port)
        self._called_ae_title = called_ae_title
        self._ae = AE(ae_title)
        self._ae.acse_timeout = self._ae.dimse_timeout = self._ae.network_timeout = timeout_seconds
        self._ae.connection_timeout = timeout_seconds
        for abstract_syntax in (Verification, ModalityWorklistInformationFind, ModalityPerformedProcedureStep):
            self._ae.add_requested_context(abstract_syntax)
        for storage_class in storage_classes:
            self._ae.add_requested_context(storage_class, ExplicitVRLittleEndian)

    @contextmanager
    def association(self) -> Iterator[Association]:
        """An association that is released at the end.

        raises  ModalityError when the broker rejects it, cannot be reached, or ends it before the last answer
        """
        association = self._ae.associate(*self._address, ae_title=self._called_ae_title)
        if not association.is_established:
            raise ModalityError("association was not accepted")
        try:
            yield association
        except RuntimeError as error:  # how pynetdicom says that the association is gone
            if association.is_established:
                raise
            raise ModalityError("the association ended") from error
        finally:
            if association.is_established:
                association.release()

    def echo(self) -> int:
        """The status of a C-ECHO."""
        with self.association() as association:
            return _status(association.send_c_echo())

    def find(self, identifier: Dataset) -> list[tuple[int, Dataset | None]]:
        """All responses to a worklist query, the final one included: status and identifier."""
        with self.association() as association:
            responses = association.send_c_find(identifier, ModalityWorklistInformationFind)
            return [(_status(status), item) for status, item in responses]

    def worklist(self, step: Mapping[str, object] | None = None, **keys: object) -> list[Dataset]:
        """The items that match: step holds keys of the scheduled step, keys those of the root.

        raises  ModalityError when the query did not end in success
        """
        responses = self.find(worklist_query(step or {}, keys))
        if not responses or responses[-1][0] != 0x0000:
            raise ModalityError("the worklist query failed")
        return [item for _, item in responses if item is not None]

    def create(self, uid: str, dataset: Dataset) -> int:
        """The status of an MPPS N-CREATE."""
        with self.association() as association:
            return _status(association.send_n_create(dataset, ModalityPerformedProcedureStep, uid)[0])

    def set(self, uid: str, dataset: Dataset) -> int:
        """The status of an MPPS N-SET."""
        with self.association() as association:
            return _status(association.send_n_set(dataset, ModalityPerformedProcedureStep, uid)[0])

    def store(self, *images: Dataset) -> list[int]:
        """The status of each C-STORE, all in one association."""
        with self.association() as association:
            return [_status(association.send_c_store(image)) for image in images]

    def begin(self, item: Dataset, at: datetime) -> Performed:
        """Report that the step of a worklist item is in progress."""
        performed = Performed(uid=generate_uid(prefix=None), item=item)
        _expect_success(self.create(performed.uid, performed_step(item, self.ae_title, at)))
        return performed

    def acquire(self, performed: Performed, count: int) -> None:
        """Make and store images of a performed step, all in one new series."""
        images = [make_image(performed.item, number) for number in range(1, count + 1)]
        for image in images:
            image.SeriesInstanceUID = images[0].SeriesInstanceUID
        for status in self.store(*images):
            _expect_success(status)
        performed.images.extend(images)

    def finish(self, performed: Performed, at: datetime, reason: tuple[str, str] | None = None) -> None:
        """Report the end: COMPLETED, or DISCONTINUED for a reason (code and meaning of scheme DCM)."""
        _expect_success(self.set(performed.uid, final_step(performed.images, self.ae_title, at, reason)))


def worklist_query(step: Mapping[str, object], keys: Mapping[str, object]) -> Dataset:
    """A worklist identifier: what a scanner wants to see, with the given matching keys filled in."""
    identifier, item = Dataset(), Dataset()
    for keyword in STEP_KEYS:
        setattr(item, keyword, step.get(keyword, ""))
    for keyword in ITEM_KEYS:
        if keyword != "SpecificCharacterSet" or keyword in keys:
            setattr(identifier, keyword, keys.get(keyword, ""))
    for keyword, value in keys.items():
        setattr(identifier, keyword, value)
    for keyword, value in step.items():
        setattr(item, keyword, value)
    identifier.ScheduledProcedureStepSequence = [item]
    return identifier


def performed_step(item: Dataset, ae_title: str, at: datetime) -> Dataset:
    """The data set of an N-CREATE for a worklist item (PS3.4 F.7.2.1)."""
    dataset, scheduled = Dataset(), Dataset()
    step = item.ScheduledProcedureStepSequence[0]
    if "SpecificCharacterSet" in item:
        dataset.SpecificCharacterSet = item.SpecificCharacterSet
    scheduled.StudyInstanceUID = item.StudyInstanceUID
    scheduled.ReferencedStudySequence = []
    scheduled.AccessionNumber = item.get("AccessionNumber", "")
    scheduled.RequestedProcedureID = item.get("RequestedProcedureID", "")
    scheduled.RequestedProcedureDescription = item.get("RequestedProcedureDescription", "")
    scheduled.ScheduledProcedureStepID = step.get("ScheduledProcedureStepID", "")
    scheduled.ScheduledProcedureStepDescription = step.get("ScheduledProcedureStepDescription", "")
    scheduled.ScheduledProtocolCodeSequence = []
    dataset.ScheduledStepAttributesSequence = [scheduled]
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex"):
        setattr(dataset, keyword, item.get(keyword, ""))
    dataset.ReferencedPatientSequence = []
    dataset.PerformedProcedureStepID = at.strftime("P%y%m%d%H%M%S")
    dataset.PerformedStationAETitle = ae_title
    dataset.PerformedStationName = dataset.PerformedLocation = ""
    dataset.PerformedProcedureStepStartDate = at.strftime("%Y%m%d")
    dataset.PerformedProcedureStepStartTime = at.strftime("%H%M%S")
    dataset.PerformedProcedureStepStatus = "IN PROGRESS"
    dataset.PerformedProcedureStepDescription = dataset.PerformedProcedureTypeDescription = ""
    dataset.ProcedureCodeSequence = dataset.PerformedProcedureStepDiscontinuationReasonCodeSequence = []
    dataset.PerformedProcedureStepEndDate = dataset.PerformedProcedureStepEndTime = ""
    dataset.Modality = step.get("Modality", "OT")
    dataset.StudyID = ""
    dataset.PerformedProtocolCodeSequence = dataset.PerformedSeriesSequence = []
    return dataset


def final_step(
    images: Sequence[Dataset], ae_title: str, at: datetime, reason: tuple[str, str] | None = None
) -> Dataset:
    """The data set of the last N-SET (PS3.4 F.7.2.2); one series holds all images, none is a series without images."""
    dataset = Dataset()
    dataset.PerformedProcedureStepStatus = "DISCONTINUED" if reason else "COMPLETED"
    dataset.PerformedProcedureStepEndDate = at.strftime("%Y%m%d")
    dataset.PerformedProcedureStepEndTime = at.strftime("%H%M%S")
    series = Dataset()
    series.PerformingPhysicianName = series.OperatorsName = series.SeriesDescription = ""
    series.ProtocolName = "ROUTINE"
    series.SeriesInstanceUID = images[0].SeriesInstanceUID if images else generate_uid(prefix=None)
    series.RetrieveAETitle = ae_title
    series.ReferencedImageSequence = [_reference(image) for image in images]
    series.ReferencedNonImageCompositeSOPInstanceSequence = []
    dataset.PerformedSeriesSequence = [series]
    if reason:
        code = Dataset()
        code.CodeValue, code.CodeMeaning = reason
        code.CodingSchemeDesignator = "DCM"
        dataset.PerformedProcedureStepDiscontinuationReasonCodeSequence = [code]
    return dataset


def make_image(item: Dataset, number: int) -> Dataset:
    """A small grey Secondary Capture image that carries a worklist item's ids, in Explicit VR Little Endian."""
    image = Dataset()
    step = item.ScheduledProcedureStepSequence[0]
    image.SOPClassUID, image.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid(prefix=None)
    for keyword in ("SpecificCharacterSet", "PatientName", "PatientID", "PatientBirthDate", "PatientSex"):
        if keyword in item:
            setattr(image, keyword, item[keyword].value)
    image.StudyInstanceUID, image.SeriesInstanceUID = item.StudyInstanceUID, generate_uid(prefix=None)
    image.AccessionNumber = item.get("AccessionNumber", "")
    image.ReferringPhysicianName = image.StudyDate = image.StudyTime = image.StudyID = ""
    image.Modality = step.get("Modality", "OT")
    image.ConversionType = "SYN"
    image.SeriesNumber, image.InstanceNumber = 1, number
    request = Dataset()
    request.ScheduledProcedureStepID = step.get("ScheduledProcedureStepID", "")
    request.RequestedProcedureID = item.get("RequestedProcedureID", "")
    image.RequestAttributesSequence = [request]
    _add_pixels(image, number)
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    return image


def _add_pixels(image: Dataset, number: int) -> None:
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows = image.Columns = IMAGE_SIZE_PIXELS
    image.BitsAllocated = image.BitsStored = 8
    image.HighBit, image.PixelRepresentation = 7, 0
    image.add_new("PixelData", "OB", bytes((index * number) % 256 for index in range(IMAGE_SIZE_PIXELS**2)))


def _reference(image: Dataset) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = image.SOPClassUID
    reference.ReferencedSOPInstanceUID = image.SOPInstanceUID
    return reference


def _status(response: Dataset) -> int:
    if "Status" not in response:
        raise ModalityError("no answer within the limit")
    return int(response.Status)


def _expect_success(status: int) -> None:
    if status != 0x0000:
        raise ModalityError(f"the broker answered {status:04X}H")
