from moe_worker.protocol.bounds import bounds
from moe_worker.protocol.settings import Settings


def test_the_reference_rank_by_hand() -> None:
    settings = Settings(
        stage=0, stages=16, first_layer=0, num_layers=1, lanes_per_rank=3, max_step_tokens=256, max_steps_in_flight=4
    )
    at_most = bounds(settings, ranks_per_stage=16, experts_per_token=2)
    assert at_most.step_rows == 3 * 4 * 256
    assert at_most.asked_rows == 3 * 256 * 2
    assert at_most.queued_rows == 16 * 3 * 256 * 2
    assert at_most.total_rows == 3072 + 2 * 1536 + 2 * 24576
