from benchmarks.failover.loads import Work, busiest, work_of

TEXT = """# TYPE moe_expert_tokens_total counter
moe_expert_tokens_total{rank="3",expert="7"} 40
moe_expert_tokens_total{rank="3",expert="8"} 2
moe_expert_passes_total{rank="3"} 30
moe_expert_pass_seconds_bucket{rank="3",le="+Inf"} 15
moe_expert_pass_seconds_sum{rank="3"} 0.5
moe_expert_pass_seconds_count{rank="3"} 15
moe_rank_serving{rank="4"} 1
"""


def test_a_ranks_work_is_summed_over_its_experts_and_all_passes_took_as_long_as_those_timed() -> None:
    assert work_of(TEXT) == {3: Work(rows=42.0, passes=30.0, seconds=1.0)}


def test_work_counts_since_a_moment_and_anew_with_the_process() -> None:
    before, after = Work(rows=10.0, passes=8.0, seconds=0.25), Work(rows=14.0, passes=2.0, seconds=0.5)
    assert after.since(before) == Work(rows=4.0, passes=0.0, seconds=0.25)


def test_the_busiest_rank_of_all_and_how_uneven_the_median_stage_is() -> None:
    assert busiest({"a": [3.0, 1.0], "b": [2.0, 2.0], "c": [1.0, 3.0]}) == (3.0, 1.5)
