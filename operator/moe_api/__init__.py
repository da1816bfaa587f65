"""The resources as pydantic models, every Kubernetes name, and the way between resources and planner values.

Knows no API client and does no I/O; imports moe_planner only.
"""
