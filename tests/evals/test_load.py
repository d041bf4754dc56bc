import os
from dataclasses import replace

from web import Metrics, Visit, clip, in_order, memory_of_tree, queue_median

GOOD = Metrics(20, 30, 20, True, 60, 100, 0.1, 0.9, 2.9, 31.0, 30.0, 0)


def test_a_clip_has_its_length():
    assert len(clip(30)) == 44 + 30 * 44_100 * 4


def test_order_is_judged_by_who_asked_after_whom():
    first, second = Visit(0, 1, 10, 1), Visit(2, 3, 20, 2)
    assert in_order([first, second]) and in_order([])
    assert not in_order([Visit(0, 1, 30, 1), second])
    assert in_order([Visit(0, 4, 30, 1), second])  # both asked at once: either may be first


def test_the_queue_promises_a_wait():
    visits = [Visit(0, 0, 10, None), Visit(0, 1, 20, 1), Visit(0, 1, 30, 2)]
    assert queue_median(visits) == 20.0  # 10 seconds a job, and one runs before


def test_memory_is_that_of_this_process_at_least():
    assert memory_of_tree(os.getpid()) > 10_000_000


def test_every_aim_counts():
    assert GOOD.is_good
    for change in (
        {"served": 19},
        {"in_order": False},
        {"answer_slowest_seconds": 1.1},
        {"memory_gb": 3.1},
        {"wait_median_seconds": 40.0},
        {"errors": 1},
    ):
        assert not replace(GOOD, **change).is_good
