"""Keys of the API: what is kept of one, whom it lets in, and how a bad entry reads."""

from __future__ import annotations

import pytest

from mmm_workflows.errors import SettingsError
from mmm_workflows.keys import Caller, make_key, read_keys, sha256_of


def test_a_key_lets_in_whom_it_was_made_for_and_its_entry_does_not_hold_it() -> None:
    key, entry = make_key("alice", ["brand-a", "brand.b"])
    assert key not in str(entry)
    found = read_keys(str(entry)).find(key)
    assert found == Caller("alice", frozenset({"brand-a", "brand.b"}))
    assert found.may_see("brand-a") and not found.may_see("default")


def test_a_key_without_projects_opens_every_one() -> None:
    key, entry = make_key("root")
    found = read_keys(f"  {entry},  ").find(key)
    assert found is not None and found.may_see("any")


@pytest.mark.parametrize("presented", ["", "mmm_", "x" * 10_000, "ключ", "\udcff", "\0"])
def test_what_is_no_key_lets_nobody_in(presented: str) -> None:
    _, entry = make_key("alice")
    assert read_keys(str(entry)).find(presented) is None
    assert read_keys(str(entry)).find(entry.sha256) is None


def test_no_two_keys_are_alike() -> None:
    assert len({make_key("a")[0] for _ in range(100)}) == 100
    assert all(len(make_key("a")[0]) >= 47 for _ in range(10))


@pytest.mark.parametrize(
    "text",
    ["secret", "alice:*", "alice:*:abc", f"alice::{'0' * 64}", f"al ice:*:{'0' * 64}"],
)
def test_an_entry_that_cannot_be_read_is_named_by_its_place_and_not_repeated(text: str) -> None:
    good = str(make_key("good")[1])
    with pytest.raises(SettingsError, match="Entry 2 of API_KEYS") as raised:
        read_keys(f"{good}, {text}")
    assert text not in raised.value.message


def test_a_name_that_stands_twice_is_refused() -> None:
    _, first = make_key("alice")
    _, second = make_key("alice")
    with pytest.raises(SettingsError, match="alice more than once"):
        read_keys(f"{first} {second}")


@pytest.mark.parametrize("name", ["", "a:b", "a+b", "*", "../x", "ä"])
def test_a_name_that_an_entry_could_not_hold_makes_no_key(name: str) -> None:
    with pytest.raises(SettingsError):
        make_key(name)
    with pytest.raises(SettingsError):
        make_key("alice", [name])


def test_the_hash_is_that_of_the_whole_key() -> None:
    assert sha256_of("abc") != sha256_of("abcd")
