"""Which events of nodes wake the operator."""

from __future__ import annotations

from typing import Any

import pytest

from moe_operator.node_news import NodeNews

Json = dict[str, Any]


def node(spec: Json | None = None, **status: Any) -> Json:
    ready = {"type": "Ready", "status": "True", "message": "kubelet is posting ready status"}
    body = {"allocatable": {"nvidia.com/gpu": "8"}, "conditions": [ready]} | status
    return {"metadata": {"name": "node-0"}, "spec": spec or {}, "status": body}


@pytest.fixture
def news() -> NodeNews:
    """That has seen a plain node."""
    news = NodeNews()
    news.is_news(None, node())
    return news


def test_a_kubelets_usual_words_are_no_news(news: NodeNews) -> None:
    silent = [{"type": "Ready", "status": "Unknown", "lastHeartbeatTime": "later"}]

    assert not news.is_news("MODIFIED", node())
    assert not news.is_news("MODIFIED", node(conditions=silent)), "a silent node alone moves nothing"


@pytest.mark.parametrize(
    "changed",
    [
        node({"unschedulable": True}),
        node({"taints": [{"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown"}]}),
        node({"taints": [{"key": "nvidia.com/gpu-unhealthy", "value": "3"}]}),
        node(conditions=[{"type": "GpuXidError", "status": "True", "message": "gpu:3"}]),
        node(allocatable={"nvidia.com/gpu": "7"}),
    ],
)
def test_what_is_said_of_a_node_is_news_once_and_its_end_too(news: NodeNews, changed: Json) -> None:
    assert news.is_news("MODIFIED", changed)
    assert not news.is_news("MODIFIED", changed)
    assert news.is_news("MODIFIED", node())


def test_a_node_that_is_gone_is_news_and_so_is_its_return(news: NodeNews) -> None:
    assert news.is_news("DELETED", node())
    assert news.is_news("ADDED", node())
