from __future__ import annotations

from moe_local.nodes.firewall import rules, table_name


def test_a_node_that_is_cut_off_hears_its_own_pods_and_no_others() -> None:
    assert rules("moe_local_x", {7}).splitlines() == [
        "table ip moe_local_x",
        "delete table ip moe_local_x",
        "table ip moe_local_x {",
        "chain arriving {",
        "type filter hook input priority 0;",
        "ip saddr 127.244.7.0/24 ip daddr 127.244.0.0/16 ip daddr != 127.244.7.0/24 drop",
        "ip daddr 127.244.7.0/24 ip saddr 127.244.0.0/16 ip saddr != 127.244.7.0/24 drop",
        "}",
        "}",
    ]


def test_when_nobody_is_cut_off_nothing_is_left_in_the_packet_filter() -> None:
    assert rules("moe_local_x", ()) == "table ip moe_local_x\ndelete table ip moe_local_x\n"


def test_each_cluster_has_a_table_of_its_own() -> None:
    assert table_name("1a2b") == "moe_local_1a2b"
    assert table_name("my-own") == "moe_local_my_own"
