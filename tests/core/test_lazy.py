import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from solo_bg import Instances
from solo_bg.core.lazy import lazy


class Counted:
    def __init__(self):
        self.calls = 0

    @lazy
    def value(self):
        """What it is."""
        self.calls += 1
        return object()


def test_it_is_computed_once_for_each_instance():
    one, other = Counted(), Counted()
    assert one.calls == 0 and one.value is one.value and one.calls == 1
    assert other.value is not one.value


def test_the_class_gives_the_descriptor_with_its_docstring():
    assert isinstance(Counted.value, lazy) and Counted.value.__doc__ == 'What it is.'


def test_an_error_is_not_kept():
    class Failing:
        fails = True

        @lazy
        def value(self):
            if self.fails:
                raise ValueError
            return 3

    one = Failing()
    with pytest.raises(ValueError):
        _ = one.value
    one.fails = False
    assert one.value == 3


def test_threads_compute_at_the_same_time():
    """`functools.cached_property` of Python 3.11 lets one thread in, whichever instance it works on."""
    both_inside = threading.Barrier(2)

    class Slow:
        @lazy
        def value(self):
            return both_inside.wait(timeout=20)

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(lambda one: one.value, [Slow(), Slow()])) == [0, 1]


def test_threads_that_share_an_instance_get_the_same_value():
    both_inside = threading.Barrier(2)

    class Slow:
        @lazy
        def value(self):
            both_inside.wait(timeout=20)
            return object()

    one = Slow()
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: one.value, range(2))
    assert first is second is one.value


def test_two_images_are_computed_on_at_the_same_time(monkeypatch):
    """Two threads must meet inside `owner_map`, each with instances of its own."""
    from solo_bg.core import masks

    both_inside, real = threading.Barrier(2), masks.owner_map
    monkeypatch.setattr(masks, 'owner_map', lambda *args: both_inside.wait(timeout=20) < 2 and real(*args))
    with ThreadPoolExecutor(2) as pool:
        unions = list(pool.map(lambda size: Instances.empty(size).union, [(3, 4), (5, 6)]))
    assert [tuple(union.shape) for union in unions] == [(3, 4), (5, 6)]
