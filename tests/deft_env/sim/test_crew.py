"""Threads that draw: order, bounds, errors, and that nothing hangs or stays behind."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from deft_env.sim.crew import Crew


def _nothing() -> None:
    pass


def _helpers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("deft-draws")]


def test_results_come_in_order_whoever_is_slow() -> None:
    crew = Crew(3, _nothing)

    def work(i: int) -> int:
        time.sleep(0.02 if i % 4 == 0 else 0.0)
        return i * i

    assert crew.map([partial(work, i) for i in range(30)]) == [i * i for i in range(30)]
    assert crew.map([]) == []
    crew.close()


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_no_more_threads_than_allowed_work_at_once(threads: int) -> None:
    crew, lock, now, most = Crew(threads, _nothing), threading.Lock(), 0, 0
    seen: set[int] = set()

    def work() -> None:
        nonlocal now, most
        with lock:
            now, seen_now = now + 1, threading.get_ident()
            most = max(most, now)
            seen.add(seen_now)
        time.sleep(0.005)
        with lock:
            now -= 1

    for _ in range(3):  # the same threads every time
        crew.map([work] * 12)
    assert most == threads
    assert len(seen) == threads
    assert threading.get_ident() in seen
    crew.close()


def test_an_error_reaches_the_caller_and_ends_the_job() -> None:
    crew, done = Crew(2, _nothing), []

    def work(i: int) -> int:
        if i in (3, 4):
            raise ValueError(f"picture {i}")
        time.sleep(0.002)
        done.append(i)
        return i

    with pytest.raises(ValueError, match="picture"):
        crew.map([partial(work, i) for i in range(40)])
    assert len(done) < 8
    assert crew.map([partial(work, i) for i in (0, 1, 2)]) == [0, 1, 2]  # and the crew is as good as before
    crew.close()


def test_an_error_in_a_helper_is_that_of_the_caller() -> None:
    """All but the calling thread fail."""
    crew, caller = Crew(2, _nothing), threading.get_ident()

    def work() -> None:
        time.sleep(0.005)
        if threading.get_ident() != caller:
            raise OSError("only a helper sees this")

    with pytest.raises(OSError, match="only a helper"):
        crew.map([work] * 6)
    crew.close()


def test_closing_ends_the_helpers_each_after_its_last_act() -> None:
    ended: list[int] = []
    crew = Crew(3, lambda: ended.append(threading.get_ident()))
    workers: set[int] = set()

    def work() -> None:
        time.sleep(0.005)
        workers.add(threading.get_ident())

    crew.map([work] * 9)
    crew.close()
    assert set(ended) == workers - {threading.get_ident()}
    assert len(ended) == 2
    assert not _helpers()
    crew.close()
    assert crew.map([lambda: 1] * 4) == [1] * 4  # starts others
    crew.close()
    assert not _helpers()


def test_a_forgotten_crew_leaves_no_thread() -> None:
    crew: Crew | None = Crew(2, _nothing)
    assert crew is not None
    crew.map([_nothing] * 4)
    assert _helpers()
    crew = None
    gc.collect()
    for _ in range(100):
        if not _helpers():
            break
        time.sleep(0.01)
    assert not _helpers()


def test_several_threads_may_share_a_crew() -> None:
    crew, out = Crew(2, _nothing), {}

    def caller(k: int) -> None:
        works: list[Callable[[], int]] = [partial(pow, k, i) for i in range(50)]
        out[k] = [crew.map(works) for _ in range(20)][-1]

    callers = [threading.Thread(target=caller, args=(k,)) for k in range(4)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join(20)
    assert out == {k: [k**i for i in range(50)] for k in range(4)}
    crew.close()


def test_python_ends_though_nobody_closed_the_crew() -> None:
    code = (
        "import time\n"
        "from deft_env.sim.crew import Crew\n"
        "crew = Crew(3, lambda: print('freed', flush=True))\n"
        "crew.map([lambda: time.sleep(0.01)] * 9)\n"
        "print('end', flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.startswith("end")
    assert done.stdout.count("freed") == 2
    assert done.stderr == ""
