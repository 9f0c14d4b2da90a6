"""Children of every kind, however short their lives: each line arrives, once."""

from __future__ import annotations

import sys

import pytest
from fix_launch import TRACED

HEAD = """
    import logging, multiprocessing, os, sys, time
    CONFIGURE
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    def work(n):
        log.info("child %d", n)
        time.sleep(0.05)
        return n
"""
HEAD += TRACED

# the program -> its lines; "queued" is on its way in the parent while it forks
CHILDREN = {
    **{
        method: (
            f"""
    if __name__ == "__main__":
        log.info("queued")
        context = multiprocessing.get_context({method!r})
        children = [context.Process(target=work, args=[n]) for n in range(3)]
        for child in children:
            child.start()
        for child in children:
            child.join()
        print([child.exitcode for child in children])
            """,
            ["queued", "child 0", "child 1", "child 2"],
        )
        for method in ("fork", "spawn", "forkserver")
    },
    "a pool that is terminated": (
        """
    if __name__ == "__main__":
        log.info("queued")
        pool = multiprocessing.get_context("fork").Pool(2)
        print(pool.map(work, range(4), chunksize=1))
        pool.terminate()
        pool.join()
        """,
        ["queued", *(f"child {n}" for n in range(4))],
    ),
    "an executor": (
        """
    from concurrent.futures import ProcessPoolExecutor
    if __name__ == "__main__":
        log.info("queued")
        context = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            print(list(pool.map(work, range(4))))
        """,
        ["queued", *(f"child {n}" for n in range(4))],
    ),
    "a child that is terminated at work": (
        """
    def sit():
        log.info("child sits")
        time.sleep(60)
    if __name__ == "__main__":
        log.info("queued")
        child = multiprocessing.get_context("fork").Process(target=sit)
        child.start()
        time.sleep(0.4)
        child.terminate()
        child.join()
        print(child.exitcode)
        """,
        ["queued", "child sits"],
    ),
    "a child that raises": (
        """
    def fail():
        log.info("child fails")
        sys.exit(7)
    if __name__ == "__main__":
        log.info("queued")
        child = multiprocessing.get_context("fork").Process(target=fail)
        child.start()
        child.join()
        print(child.exitcode)
        """,
        ["queued", "child fails"],
    ),
    **{
        f"os.fork and {end}": (
            f"""
    log.info("queued")
    child = os.fork()
    if not child:
        log.info("child")
        {end}
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    log.info("parent goes on")
            """,
            ["queued", "child", "parent goes on"],
        )
        for end in ("sys.exit(4)", "os._exit(4)")
    },
    "a child that logs nothing": (
        """
    log.info("queued")
    child = os.fork()
    if not child:
        os._exit(0)
    print(os.waitpid(child, 0)[1])
        """,
        ["queued"],
    ),
    "a daemon's two forks": (
        """
    log.info("queued")
    if child := os.fork():
        os.waitpid(child, 0)
        time.sleep(0.5)
        sys.exit()
    os.setsid()
    log.info("middle")
    if os.fork():
        os._exit(0)
    log.info("daemon")
        """,
        ["queued", "middle", "daemon"],
    ),
}


@pytest.mark.parametrize("kind", CHILDREN)
def test_children(kind, alike, kept, traced):
    source, expected = CHILDREN[kind]
    ways = ("plain", "run", "configure")[: 2 + (kind == "fork")]

    def unordered(text: str) -> list[str]:
        return sorted(text.split("\n"))

    for running in alike(f"{HEAD}{source}", common=unordered, ways=ways):
        assert sorted(kept(running)) == sorted(expected), running.way
        assert sorted(traced(running)) == sorted(expected), running.way


def test_each_child_is_an_instance_of_its_own(launch, stored):
    running = launch(HEAD + CHILDREN["fork"][0])
    running.outcome()
    found = stored(running)
    assert len({line.instance for line in found}) == len(found) == 4


def test_many_short_lives(launch, stored, traced):
    """Parents that log all the time while they fork: nothing is lost or sent twice."""
    source = f"""{HEAD}
    import threading
    # A stream held while forking hangs the child, without us too.
    logging.getLogger().handlers[:] = [logging.NullHandler()]
    def talk():
        for n in range(2000):
            log.info("parent %d", n)
            time.sleep(0.0003)
    talking = threading.Thread(target=talk)
    talking.start()
    for n in range(60):
        child = os.fork()
        if not child:
            log.info("child %d", n)
            os._exit(0)
        os.waitpid(child, 0)
    talking.join()
    """
    running = launch(source, sys.executable, "shop.py")
    assert running.outcome().status == 0
    bodies = sorted(line.body for line in stored(running))
    assert bodies == sorted(
        [f"parent {n}" for n in range(2000)] + [f"child {n}" for n in range(60)]
    )
    assert sorted(traced(running)) == bodies
