import copy
import functools
import gc
import inspect
import threading
import weakref

import pytest

from motion_module.patching import (
    assign,
    assign_items,
    changing,
    drop_items,
    put_right_options,
    refill,
    replaced,
    replaced_all,
    replaced_call,
    replaced_item,
    replaced_option,
    take_out,
)
from motion_module.stand_in import MISSING, given_original


class Host:
    field = "class"

    def method(self):
        return "host"


def test_a_shadowed_method_leaves_no_attribute_behind():
    host = Host()
    with replaced(host, "method", lambda: "ours") as before:
        assert host.method() == "ours"
        assert before() == "host"
    assert vars(host) == {}
    assert host.method() == "host"


def test_an_instance_attribute_comes_back_as_the_same_object():
    host, value = Host(), object()
    host.field = value
    with replaced(host, "field", None):
        assert host.field is None
    assert host.field is value


def test_an_attribute_that_was_not_there_goes_again():
    host = Host()
    with replaced(host, "new", 1) as before:
        assert before is None and host.new == 1
    assert not hasattr(host, "new")


def test_several_attributes_are_one_change():
    host = Host()
    host.own = own = object()
    with replaced_all(host, {"own": 1, "field": 2, "new": 3}):
        assert (host.own, host.field, host.new) == (1, 2, 3)
    assert host.own is own and vars(host) == {"own": own}


def test_where_one_of_several_cannot_be_set_those_before_it_come_back():
    class Half(Host):
        locked = property(lambda self: 0)

    host = Half()
    with pytest.raises(AttributeError), replaced_all(host, {"field": 1, "locked": 2}):
        pass
    assert vars(host) == {}


def test_items_that_nobody_takes_back():
    infotext, prompts = {"Steps": 1}, ["a", "b"]
    same = prompts
    assign_items(infotext, {"Steps": 2, "Size": 3})
    refill(prompts, ["c"])
    assert infotext == {"Steps": 2, "Size": 3} and same == ["c"]


def test_what_somebody_else_put_over_ours_stays():
    host = Host()
    with replaced(host, "method", lambda: "ours"):
        host.method = theirs = lambda: "theirs"
    assert host.method is theirs


@pytest.mark.parametrize("value", [100_000, 0.1, "a text", True, None])
def test_an_equal_plain_value_counts_as_ours(value):
    """The host counts its batch anew, and sets what it was set to."""
    host, again = Host(), value if value is None else type(value)(str(value))
    with replaced(host, "field", value):
        host.field = again
    assert vars(host) == {}
    mapping = {}
    with replaced_item(mapping, "a", value):
        mapping["a"] = again
    assert mapping == {}


@pytest.mark.parametrize(("ours", "theirs"), [(1, True), (1, 1.0), ([1], [1]), (0, False), ({"a": 1}, {"a": 1})])
def test_what_is_equal_but_of_another_kind_or_no_plain_value_stays(ours, theirs):
    host = Host()
    with replaced(host, "field", ours):
        host.field = theirs
    assert host.field is theirs


class Unit:
    """Keeps what it was given in a place of its own, and forgets what it made of the last."""

    def __init__(self, hint):
        self.hint = hint

    @property
    def hint(self):
        return self.kept

    @hint.setter
    def hint(self, hint):
        self.kept, self.made = hint, None

    def set_hint(self, hint):
        self.hint = hint


def test_a_property_is_put_back_through_its_setter():
    unit = Unit("whole")
    unit.made = "of the whole"
    with replaced(unit, "hint", "cut"):
        assert (unit.kept, unit.made) == ("cut", None)
        unit.made = "of the cut"
    assert vars(unit) == {"kept": "whole", "made": None}


@pytest.mark.parametrize("name", ["hint", "kept"])
def test_a_value_that_changes_again_and_again(name):
    unit, whole = Unit("whole"), object()
    unit.hint = whole
    with changing(unit, name, unit.set_hint) as put:
        assert unit.hint is whole
        for number in range(3):
            put(number)
            assert unit.hint == number and unit.made is None
            unit.made = number
    assert unit.hint is whole and unit.made is None
    with changing(unit, name) as put:
        put("ours")
        unit.hint = theirs = object()
    assert unit.hint is theirs


def test_two_that_change_one_attribute_in_turn():
    host = Host()
    with changing(host, "field") as first, changing(host, "field") as second:
        for number in range(3):
            first(number)
            second(-number)
    assert vars(host) == {}


def test_nothing_put_in_is_nothing_taken_back():
    host = Host()
    with changing(host, "field"):
        host.field = "theirs"
    assert host.field == "theirs"


def test_what_is_of_a_run_alone_stays():
    host, mapping = Host(), {"a": 1, "b": 2}
    assign(host, field=1, new=2)
    drop_items(mapping, ["a", "c"])
    assert vars(host) == {"field": 1, "new": 2} and mapping == {"b": 2}


@pytest.mark.parametrize(("below", "left"), [(MISSING, {}), ("below", {"kept": "below"})])
def test_ours_is_taken_out_of_where_somebody_has_put_it(below, left):
    host, ours = Host(), object()
    host.kept = ours
    take_out(host, "kept", object(), below)
    assert host.kept is ours
    take_out(host, "kept", ours, below)
    assert vars(host) == left


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_undone_after_any_error(error):
    host = Host()
    with pytest.raises(error), replaced(host, "field", 1):
        raise error
    assert vars(host) == {}


def test_nested_replacements_of_one_attribute_undo_in_order():
    host = Host()
    with replaced(host, "field", 1):
        with replaced(host, "field", 2):
            assert host.field == 2
        assert host.field == 1
    assert host.field == "class"


@pytest.mark.parametrize("start", [{}, {"a": 0}])
def test_items(start):
    mapping = dict(start)
    with replaced_item(mapping, "a", 1):
        assert mapping["a"] == 1
    assert mapping == start


def test_an_item_changed_meanwhile_stays():
    mapping = {"a": False}
    with replaced_item(mapping, "a", True):
        mapping["a"] = False
    assert mapping == {"a": False}


def louder(original):
    return lambda *args: f"{original(*args)}!"


def test_a_call_is_replaced_and_leaves_nothing_behind():
    host = Host()
    with replaced_call(host, "method", louder):
        assert host.method() == "host!"
    assert vars(host) == {}


@pytest.mark.parametrize("own", [False, True])
def test_a_stand_in_that_was_kept_forwards_to_what_it_replaced(own):
    host = Host()
    if own:
        host.method = lambda: "neighbour"
    before = host.method()
    with replaced_call(host, "method", louder):
        kept = host.method
    assert kept() == before
    host.method = kept
    assert host.method() == before


def test_one_that_was_put_back_is_taken_off_by_the_next_block():
    host = Host()
    for _ in range(10):
        with replaced_call(host, "method", louder):
            assert host.method() == "host!"
            kept = host.method
        host.method = kept
    with replaced_call(host, "method", louder):
        pass
    assert vars(host) == {}


def test_one_that_is_put_back_in_a_later_block_goes_to_the_living_one():
    host = Host()
    with replaced_call(host, "method", louder):
        kept = host.method
    with replaced_call(host, "method", louder):
        host.method = kept
        assert host.method() == "host!"
    assert vars(host) == {}


def test_a_neighbour_round_a_dead_one_under_a_living_one():
    host = Host()
    with replaced_call(host, "method", louder):
        ours = host.method
        host.method = theirs = lambda: f"<{ours()}>"
        assert host.method() == "<host!>"
    assert host.method is theirs and host.method() == "<host>"
    with replaced_call(host, "method", louder):
        assert host.method() == "<host>!"
    assert host.method is theirs


def test_two_blocks_that_end_in_the_wrong_order():
    host = Host()
    first, second = replaced_call(host, "method", louder), replaced_call(host, "method", louder)
    first.__enter__()
    second.__enter__()
    assert host.method() == "host!!"
    first.__exit__(None, None, None)
    assert host.method() == "host!"
    second.__exit__(None, None, None)
    assert vars(host) == {}


def test_another_thread_is_no_call_from_within():
    host, heard = Host(), []

    def slowly(original):
        def replacement():
            if threading.current_thread() is threading.main_thread():
                thread = threading.Thread(target=lambda: heard.append(host.method()))
                thread.start()
                thread.join()
            return louder(original)()

        return replacement

    with replaced_call(host, "method", slowly):
        assert host.method() == "host!"
    assert heard == ["host!"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_call_is_put_back_after_any_error(error):
    host = Host()
    with pytest.raises(error), replaced_call(host, "method", louder):
        raise error
    assert vars(host) == {} and host.method() == "host"


def test_who_keeps_a_stand_in_keeps_neither_owner_nor_run():
    class Run:
        def method(self, original):
            return "run"

    run, host = Run(), Host()
    host.method = host.method  # as one who has put a bound method back
    with replaced_call(host, "method", given_original(run.method)) as kept:
        assert kept() == "run"
    seen = weakref.ref(run), weakref.ref(host)
    del run
    gc.collect()
    assert kept() == "host" and seen[0]() is None
    del host
    gc.collect()
    assert seen[1]() is None
    with pytest.raises(RuntimeError, match="method was kept for longer than the object"):
        kept()


def test_a_stand_in_looks_like_what_it_stands_for():
    def call(x, *, y=1):
        """Some call."""

    call.mark = "theirs"
    host = Host()
    host.method = call
    with replaced_call(host, "method", louder) as ours:
        assert ours.__name__ == "method" and ours.mark == "theirs"
        assert inspect.signature(ours) == inspect.signature(call)
        assert copy.copy(ours) is copy.deepcopy(ours) is ours
        wrapped = functools.wraps(ours)(lambda: None)
        assert vars(wrapped).keys() == {"__wrapped__", "mark"}  # nothing of the run in their hands
    assert host.method is call


@pytest.mark.parametrize(("own", "lent"), [(False, True), ("[seed]", "[number]"), (3, 4)])
@pytest.mark.parametrize("keep", [dict, copy.deepcopy])
def test_an_option_that_was_kept_is_known_again(own, lent, keep):
    options = {"a": own}
    with replaced_option(options, "a", lent):
        assert options["a"] == lent
        kept = keep(options)
    assert options == {"a": own}
    options.update(kept)
    put_right_options(options)
    assert options["a"] is own


def test_an_option_of_the_same_value_that_is_the_persons_own_stays():
    options = {"a": False}
    with replaced_option(options, "a", True):
        pass
    options["a"] = True
    put_right_options(options)
    assert options["a"] is True


def test_an_option_that_was_overridden_for_one_run():
    options = {"a": False}
    with replaced_option(options, "a", True, lasting=True):
        kept = options["a"]
    assert options["a"] is False
    options["a"] = kept
    put_right_options(options)
    assert options["a"] is True
