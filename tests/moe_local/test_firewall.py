from __future__ import annotations

from moe_local.nodes.firewall import Rule, rules, table_name

NODE, ALL = "127.244.7.0/24", "127.244.0.0/16"


def test_a_node_that_is_cut_off_hears_its_own_pods_and_no_others() -> None:
    assert rules({7}) == [
        Rule(source=NODE, destination=NODE, is_drop=False),
        Rule(source=NODE, destination=ALL, is_drop=True),
        Rule(source=ALL, destination=NODE, is_drop=True),
    ]


def test_pods_of_each_of_two_nodes_that_are_cut_off_hear_their_own() -> None:
    assert [rule.is_drop for rule in rules({7, 8})] == [False, False, True, True, True, True]


def test_when_nobody_is_cut_off_nothing_is_left_in_the_packet_filter() -> None:
    assert rules(()) == []


def test_each_cluster_has_a_table_of_its_own() -> None:
    assert table_name("1a2b") == "moe_local_1a2b"
    assert table_name("my-own") == "moe_local_my_own"
