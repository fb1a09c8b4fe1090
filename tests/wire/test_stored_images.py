"""Images come in, are kept byte by byte, and belong to the order only when the patient agrees."""

from __future__ import annotations

import pydicom
import pytest
from pydicom.uid import generate_uid

from tests.kit.scanner import changed


@pytest.fixture
def ordered(broker, case):
    """The worklist item of the case's order."""
    broker.send(case.order())
    return broker.item(case)


def studies(broker, case):
    """The studies in the order's story."""
    return broker.show(case.accession)["studies"]


def test_images_of_an_order_are_linked_to_it(broker, case, ordered):
    scanner = broker.scanner()

    statuses = scanner.store(scanner.take(ordered, 1), scanner.take(ordered, 2))

    assert statuses == [0x0000, 0x0000]
    assert [(study["study_uid"], study["images"]) for study in studies(broker, case)] == [(case.study_uid, 2)]


def test_an_image_is_kept_as_part_10_without_a_changed_byte(broker, ordered):
    scanner = broker.scanner()
    image = scanner.take(ordered)

    scanner.store(image)

    path = broker.file_of(image.SOPInstanceUID)
    kept = pydicom.dcmread(path)
    assert kept == image
    assert kept.file_meta.TransferSyntaxUID == image.file_meta.TransferSyntaxUID
    assert str(image.SOPInstanceUID) not in str(path)


def test_the_same_image_again_is_a_success_that_changes_nothing(broker, case, ordered):
    scanner = broker.scanner()
    image = scanner.take(ordered)

    first, second = scanner.store(image), scanner.store(image)

    assert (first, second) == ([0x0000], [0x0000])
    assert studies(broker, case)[0]["images"] == 1
    assert broker.alarms() == []


def test_another_image_under_a_known_uid_is_kept_aside_and_alarmed(broker, case, ordered):
    scanner = broker.scanner()
    image = scanner.take(ordered)
    scanner.store(image)

    status = scanner.store(changed(image, InstanceNumber=99))

    assert status == [0x0000]
    assert pydicom.dcmread(broker.file_of(image.SOPInstanceUID)).InstanceNumber == 1
    assert studies(broker, case)[0]["images"] == 1
    assert [alarm["kind"] for alarm in broker.alarms()] == ["instance-conflict"]


def test_an_image_of_another_patient_is_kept_not_linked_and_alarmed(broker, case, ordered):
    scanner = broker.scanner()
    image = scanner.take(ordered, PatientID=f"OTHER{case.number}", PatientName="Other^Person")

    status = scanner.store(image)

    assert status == [0x0000]
    assert broker.file_of(image.SOPInstanceUID).exists()
    assert studies(broker, case) == []
    assert [alarm["kind"] for alarm in broker.alarms()] == ["other-patient"]


def test_an_image_without_a_patient_id_is_kept_and_not_linked(broker, case, ordered):
    scanner = broker.scanner()

    status = scanner.store(scanner.take(ordered, PatientID=""))

    assert status == [0x0000]
    assert studies(broker, case) == []
    assert broker.alarms()


def test_an_image_of_another_patient_never_blocks_the_order_s_own(broker, case, ordered):
    scanner = broker.scanner()
    scanner.store(scanner.take(ordered, PatientID=f"OTHER{case.number}"))

    scanner.store(scanner.take(ordered))

    assert [study["images"] for study in studies(broker, case)] == [1]
    assert broker.send(case.order(control="XO")).code == "AA"


def test_an_image_with_a_study_uid_of_its_own_is_found_by_step_and_accession(broker, case, ordered):
    scanner = broker.scanner()

    scanner.store(scanner.take(ordered, StudyInstanceUID=generate_uid(prefix=None)))

    assert [study["images"] for study in studies(broker, case)] == [1]


def test_an_image_that_nobody_ordered_is_stored_all_the_same(broker, case, ordered):
    scanner = broker.scanner()
    stray = scanner.take(
        ordered,
        PatientID=f"NOBODY{case.number}",
        StudyInstanceUID=generate_uid(prefix=None),
        AccessionNumber="",
        RequestAttributesSequence=[],
    )

    assert scanner.store(stray) == [0x0000]
    assert broker.file_of(stray.SOPInstanceUID).exists()


def test_images_move_no_step(broker, case, ordered):
    scanner = broker.scanner()

    scanner.store(scanner.take(ordered))

    assert broker.states(case.accession) == ["SCHEDULED"]


def test_an_image_whose_uids_are_paths_stays_in_the_archive(broker, ordered):
    scanner = broker.scanner()
    image = scanner.take(ordered, SeriesInstanceUID="../../../fled", StudyInstanceUID="../../fled")

    scanner.store(image)

    assert list(broker.data.parent.rglob("fled*")) == []
    assert scanner.echo() == 0x0000
