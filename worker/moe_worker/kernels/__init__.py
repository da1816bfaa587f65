"""The CPU's data path in C++ (source/), called with the addresses of torch's tensors. Knows numbers and where they lie,
and nothing of layers, families or the protocol.
"""
