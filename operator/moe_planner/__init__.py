"""Model shape + hardware + workload -> plan; stage layout + a fact -> the next layout. Standard library only.

Knows nothing of Kubernetes, YAML, pods' names or processes. Same input, byte-identical output.
"""
