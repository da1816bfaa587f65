"""The embedded cluster: a real Kubernetes control plane and nodes that run pods as processes on this machine.

Knows nothing of MoE: what it starts beyond Kubernetes itself comes from flags and manifests.
"""
