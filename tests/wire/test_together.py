"""Many peers at once: repeats, races and batches give the same result as one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from pydicom.uid import generate_uid

from tests.kit.messages import Case
from tests.kit.mllp import Sender

PEERS = 8


def at_once(*actions: Callable[[], object]) -> list[object]:
    """Run all actions at the same moment; their results in order."""
    gate = Barrier(len(actions))

    def act(action: Callable[[], object]) -> object:
        gate.wait(10)
        return action()

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(act, actions))


def test_the_same_message_on_eight_connections_is_one_order_and_one_answer(broker, case):
    message = case.order()

    answers = at_once(*[lambda: broker.send(message)] * PEERS)

    assert {answer.code for answer in answers} == {"AA"}
    assert len({answer.raw for answer in answers}) == 1
    assert len(broker.items(case)) == 1


def test_eight_messages_about_one_new_order_make_one_order(broker, case):
    answers = at_once(*[lambda: broker.send(case.order()) for _ in range(PEERS)])

    assert {answer.code for answer in answers} == {"AA"}
    assert len(broker.items(case)) == 1


def test_eight_plain_orders_of_one_new_patient_make_one_patient(broker, case):
    orders = [case.message(case.plain(placer=f"{case.placer}-{n}")) for n in range(PEERS)]

    answers = at_once(*[lambda order=order: broker.send(order) for order in orders])

    found = broker.items(case)
    assert {answer.code for answer in answers} == {"AA"}
    assert len(found) == PEERS
    assert len({item.StudyInstanceUID for item in found}) == PEERS
    assert len({item.AccessionNumber for item in found}) == PEERS


def test_connections_without_pause_lose_nothing(broker):
    cases = [[Case() for _ in range(20)] for _ in range(PEERS)]

    def send_all(mine: list[Case]) -> list[str]:
        with Sender(broker.hl7_port) as sender:
            return [sender.send(case.order()).code for case in mine]

    codes = at_once(*[lambda mine=mine: send_all(mine) for mine in cases])

    assert Counter(code for some in codes for code in some) == {"AA": 20 * PEERS}
    assert {broker.states(case.accession)[0] for mine in cases for case in mine} == {"SCHEDULED"}


def test_a_refused_message_costs_its_neighbours_nothing(broker):
    good, bad = [Case() for _ in range(PEERS)], [Case() for _ in range(PEERS)]
    actions = [lambda case=case: broker.send(case.order()).code for case in good]
    actions += [lambda case=case: broker.send(case.order(control="CA")).code for case in bad]

    codes = at_once(*actions)

    assert codes == ["AA"] * PEERS + ["AE"] * PEERS


def test_a_cancel_and_a_start_at_once_have_one_winner(broker):
    for _ in range(5):
        case = Case()
        broker.send(case.order())
        item = broker.item(case)

        answer, (_, status) = at_once(
            lambda case=case: broker.send(case.order(control="CA")),
            lambda item=item: broker.scanner().start(item),
        )

        assert status == 0x0000
        assert (answer.code, broker.states(case.accession)) in [("AA", ["CANCELED"]), ("AE", ["STARTED"])]


def test_the_same_performed_step_created_twice_at_once_exists_once(broker, case):
    broker.send(case.order())
    item = broker.item(case)
    uid = generate_uid(prefix=None)

    results = at_once(*[lambda: broker.scanner().start(item, uid)[1]] * 4)

    assert sorted(results) == [0x0000, 0x0111, 0x0111, 0x0111]
    assert len(broker.show(case.accession)["performed_steps"]) == 1


def test_the_same_image_on_four_associations_is_kept_once(broker, case):
    broker.send(case.order())
    image = broker.scanner().take(broker.item(case))

    results = at_once(*[lambda: broker.scanner().store(image)] * 4)

    assert results == [[0x0000]] * 4
    assert [study["images"] for study in broker.show(case.accession)["studies"]] == [1]
    assert broker.alarms() == []


def test_queries_during_intake_see_whole_orders_only(broker, case):
    groups = [
        case.group(procedure_id=f"{case.number}R{n}", step_id=f"{case.number}S{n}", study_uid=f"{case.study_uid}{n}")
        for n in range(20)
    ]

    results = at_once(
        lambda: broker.send(case.message(*groups)).code, *[lambda: len(broker.items(case)) for _ in range(PEERS)]
    )

    assert results[0] == "AA"
    assert set(results[1:]) <= {0, 20}
