"""What a rank drives: a CUDA GPU, or a CPU device that may be told to fail. Knows tensors and payloads only."""
