"""The operator: it watches MoEDeployments, plans them, and keeps every expert hosted."""
