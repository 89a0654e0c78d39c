"""A strategic merge into a pod template."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.overlay import OverlayError, merge

Json = dict[str, Any]

NAMES = st.sampled_from(["spec", "metadata", "labels", "a", "b"])
LEAVES = st.one_of(st.integers(), st.text(max_size=3), st.booleans(), st.lists(st.integers(), max_size=3))
MAPS: st.SearchStrategy[Json] = st.recursive(
    st.dictionaries(NAMES, LEAVES, max_size=3),
    lambda below: st.dictionaries(NAMES, st.one_of(LEAVES, below), max_size=3),
    max_leaves=6,
)
NAMED = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("abcd")}, optional={"value": st.text(max_size=3)}),
    max_size=4,
    unique_by=lambda item: str(item["name"]),
)


def merged_or_refused(target: Json, overlay: Json) -> Json | None:
    try:
        return merge(target, overlay)
    except OverlayError:
        return None


@given(MAPS)
def test_nothing_changes_nothing(target: Json) -> None:
    assert merge(target, {}) == target


@given(MAPS)
def test_into_nothing_it_is_itself(overlay: Json) -> None:
    assert merge({}, overlay) == overlay


@given(MAPS)
def test_a_template_over_itself_is_itself(target: Json) -> None:
    assert merge(target, target) == target


@given(MAPS, MAPS)
def test_twice_is_as_good_as_once(target: Json, overlay: Json) -> None:
    once = merged_or_refused(target, overlay)
    if once is not None:
        assert merged_or_refused(once, overlay) == once


@given(MAPS, MAPS)
def test_neither_side_is_changed(target: Json, overlay: Json) -> None:
    before = copy.deepcopy((target, overlay))
    merged_or_refused(target, overlay)
    assert (target, overlay) == before


@given(MAPS, MAPS)
def test_a_field_of_one_side_alone_stays_as_it_is(target: Json, overlay: Json) -> None:
    merged = merged_or_refused(target, overlay)
    if merged is not None:
        assert merged.keys() == target.keys() | overlay.keys()
        for name in target.keys() ^ overlay.keys():
            assert merged[name] == target.get(name, overlay.get(name))


@given(NAMED, NAMED)
def test_lists_of_named_things_are_joined_by_name(target: list[Json], overlay: list[Json]) -> None:
    merged = merge({"env": target}, {"env": overlay})["env"]
    names = [item["name"] for item in merged]
    assert names == list(dict.fromkeys(item["name"] for item in [*target, *overlay]))
    before, over = ({item["name"]: item for item in items} for items in (target, overlay))
    for item in merged:
        assert item == {**before.get(item["name"], {}), **over.get(item["name"], {})}


@given(NAMED, NAMED)
def test_other_lists_are_replaced(target: list[Json], overlay: list[Json]) -> None:
    assert merge({"tolerations": target}, {"tolerations": overlay}) == {"tolerations": overlay}


@pytest.mark.parametrize(
    ("field", "key"),
    [
        ("containers", "name"), ("initContainers", "name"), ("volumes", "name"), ("volumeMounts", "mountPath"),
        ("ports", "containerPort"), ("hostAliases", "ip"), ("imagePullSecrets", "name"),
        ("topologySpreadConstraints", "topologyKey"), ("volumeDevices", "devicePath"), ("resourceClaims", "name"),
    ],
)  # fmt: skip
def test_each_list_is_joined_by_its_own_key(field: str, key: str) -> None:
    target = {field: [{key: 1, "a": 1}, {key: 2, "a": 2}]}
    assert merge(target, {field: [{key: 2, "a": 3}, {key: 3}]}) == {
        field: [{key: 1, "a": 1}, {key: 2, "a": 3}, {key: 3}]
    }


def test_null_deletes() -> None:
    assert merge({"a": 1, "b": {"c": 2, "d": 3}}, {"a": None, "b": {"c": None}, "e": None}) == {"b": {"d": 3}}


def test_a_thing_of_a_list_is_deleted_or_the_whole_list_replaced() -> None:
    target = {"env": [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]}
    assert merge(target, {"env": [{"name": "a", "$patch": "delete"}]}) == {"env": [{"name": "b", "value": "2"}]}
    assert merge(target, {"env": [{"name": "z", "$patch": "delete"}]}) == target
    assert merge(target, {"env": [{"$patch": "replace"}, {"name": "c"}]}) == {"env": [{"name": "c"}]}


def test_a_map_is_replaced_whole() -> None:
    target = {"securityContext": {"runAsUser": 1000, "fsGroup": 1000}}
    overlay = {"securityContext": {"$patch": "replace", "runAsUser": 5}}
    assert merge(target, overlay) == {"securityContext": {"runAsUser": 5}}


@pytest.mark.parametrize(
    ("overlay", "path", "problem"),
    [
        ({"spec": {"containers": [{"image": "x"}]}}, "spec.containers[0]", "no_name"),
        ({"spec": {"containers": [{"name": "trainer"}, "side"]}}, "spec.containers[1]", "not_a_map"),
        ({"spec": {"hostNetwork": {"a": 1}}}, "spec.hostNetwork", "not_a_value"),
        (
            {"spec": {"containers": [{"name": "trainer", "volumeMounts": [{"name": "x"}]}]}},
            "spec.containers[0].volumeMounts[0]",
            "no_mountPath",
        ),
    ],
)
def test_what_cannot_be_merged_is_named_by_its_path(overlay: Json, path: str, problem: str) -> None:
    target = {"spec": {"containers": [{"name": "trainer"}], "hostNetwork": False}}
    with pytest.raises(OverlayError) as caught:
        merge(target, overlay)
    assert (caught.value.path, caught.value.problem) == (path, problem)
    assert str(caught.value) == f"{path}: {problem}"


@pytest.mark.parametrize(
    ("overlay", "path", "problem"),
    [
        ({"spec": 1}, "spec", "not_a_map"),
        ({"spec": []}, "spec", "not_a_map"),
        ({"spec": {"containers": {}}}, "spec.containers", "not_a_list"),
        ({"spec": {"volumes": "x"}}, "spec.volumes", "not_a_list"),
        ({"spec": {"$patch": "merg"}}, "spec.$patch", "unknown_directive"),
        ({"$patch": "delete"}, "$patch", "unknown_directive"),
    ],
)
def test_what_is_a_map_or_a_list_stays_one(overlay: Json, path: str, problem: str) -> None:
    with pytest.raises(OverlayError) as caught:
        merge({"spec": {"containers": [{"name": "trainer"}], "volumes": []}}, overlay)
    assert (caught.value.path, caught.value.problem) == (path, problem)


def test_directives_say_themselves_and_leave_nothing_behind() -> None:
    target = {"a": {"b": 1}, "c": 2}
    assert merge(target, {"a": {"$patch": "merge", "d": 3}}) == {"a": {"b": 1, "d": 3}, "c": 2}
    assert merge(target, {"a": {"$patch": "delete"}}) == {"c": 2}
