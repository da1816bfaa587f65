"""The model in torch: reads its part of a checkpoint and computes it. Knows no ranks, messages, terms or clocks."""
