"""Who waits for what another thread writes is woken by it, and by nothing else; nothing written in between is missed."""

import threading

from bridge.bells import Bells


def test_who_listens_is_woken_by_its_own_bells_only() -> None:
    bells = Bells()
    intake, both = bells.listen(["intake"]), bells.listen(["intake", "notices"])
    bells.ring(["notices"])
    assert (intake.is_set(), both.is_set()) == (False, True)
    bells.ring(["intake", "other"])
    assert intake.is_set()


def test_bell_without_a_name_wakes_all() -> None:
    bells = Bells()
    woken = [bells.listen([name]) for name in ("a", "b")]
    bells.ring()
    assert all(one.is_set() for one in woken)


def test_what_is_written_after_the_look_wakes_again() -> None:
    bells = Bells()
    woken = bells.listen(["a"])
    bells.ring(["a"])
    woken.clear()  # then who waits looks
    bells.ring(["a"])
    assert woken.wait(0)


def test_who_has_left_is_kept_no_longer() -> None:
    bells = Bells()
    gone, here = bells.listen(["a"]), bells.listen(["a"])
    bells.leave(gone)
    bells.leave(gone)
    bells.ring(["a"])
    assert (gone.is_set(), here.is_set()) == (False, True)


def test_thread_that_waits_goes_on_at_once() -> None:
    bells = Bells()
    woken = bells.listen(["a"])
    waiter = threading.Thread(target=woken.wait, args=(60,), daemon=True)
    waiter.start()
    bells.ring(["a"])
    waiter.join(10)
    assert not waiter.is_alive()
