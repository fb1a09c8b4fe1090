"""Several censuses seen as one."""

from __future__ import annotations

from broker.dicom.census import MOST_PEERS, PeerSeen, Snapshot, total


def test_what_several_doors_counted_is_added_and_a_peer_is_one_wherever_it_is_connected():
    one = Snapshot(
        3, 1, (PeerSeen("CT1", "10.0.0.1", 2, 50.0), PeerSeen("MR1", "10.0.0.2", 1, 40.0)), {"accepted": 5}, {}, {}
    )
    two = Snapshot(
        1, 0, (PeerSeen("MR1", "10.0.0.2", 1, 60.0),), {"accepted": 2, "lost": 1}, {"limit": 1}, {"pdu": 3}
    )

    assert total([one, two]) == Snapshot(
        4,
        1,
        (PeerSeen("MR1", "10.0.0.2", 2, 60.0), PeerSeen("CT1", "10.0.0.1", 2, 50.0)),
        {"accepted": 7, "lost": 1},
        {"limit": 1},
        {"pdu": 3},
    )


def test_the_sum_remembers_no_more_peers_than_one_door_and_the_last_seen_first():
    halves = [
        Snapshot(0, 0, tuple(PeerSeen(f"{half}{n}", "h", 0, float(n)) for n in range(MOST_PEERS)), {}, {}, {})
        for half in "AB"
    ]

    peers = total(halves).peers

    assert len(peers) == MOST_PEERS
    assert min(peer.last_seen for peer in peers) == MOST_PEERS / 2
    assert peers[0].last_seen == MOST_PEERS - 1


def test_the_sum_of_none_is_nothing():
    assert total([]) == Snapshot(0, 0, (), {}, {}, {})
