"""The OpenAI-compatible front of a MoEDeployment: a Deployment and a Service."""

from __future__ import annotations

from moe_api import names
from moe_api.deployment import GatewaySpec, MoEDeployment
from moe_operator.api import Json
from moe_operator.desire.owner import metadata, owner_of
from moe_operator.desire.pods import field_variables, model_path
from moe_operator.desire.settings import Images

# What the kubelet waits beyond the drain before it kills the pod.
GRACE_SECONDS = 5
# Zero is how a user says "do not wait"; the gateway wants a positive number.
LEAST_HOLD_SECONDS = 0.001


def gateway_objects(deployment: MoEDeployment, images: Images) -> list[Json]:
    """The gateway's Deployment and the Service in front of it."""
    return [_deployment(deployment, images), _service(deployment)]


def _deployment(deployment: MoEDeployment, images: Images) -> Json:
    labels = names.gateway_labels(deployment.metadata.name)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(deployment),
        "spec": {
            "replicas": deployment.spec.gateway.replicas,
            "selector": {"matchLabels": _selector(deployment)},
            "template": {
                "metadata": {"labels": labels, "annotations": names.gateway_annotations()},
                "spec": _pod_spec(deployment, images),
            },
        },
    }


def _service(deployment: MoEDeployment) -> Json:
    port = {
        "name": names.GATEWAY_PORT_NAME,
        "port": names.GATEWAY_PORT,
        "targetPort": names.GATEWAY_PORT_NAME,
        "protocol": "TCP",
    }
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(deployment),
        "spec": {"selector": _selector(deployment), "ports": [port]},
    }


def _pod_spec(deployment: MoEDeployment, images: Images) -> Json:
    name = deployment.metadata.name
    return {
        "serviceAccountName": names.gateway_service_account(name),
        "terminationGracePeriodSeconds": deployment.spec.gateway.drain_seconds + GRACE_SECONDS,
        "enableServiceLinks": False,
        "containers": [_container(deployment, images)],
        "volumes": [
            {"name": "model", **deployment.spec.model.source.volume},
            {"name": "data-path", "secret": {"secretName": names.secret_name(name)}},
            *_keys_volume(deployment.spec.gateway),
        ],
    }


def _container(deployment: MoEDeployment, images: Images) -> Json:
    return {
        "name": names.GATEWAY_CONTAINER,
        "image": deployment.spec.gateway.image or images.gateway,
        "command": ["moe-gateway"],
        "env": _environment(deployment),
        "ports": [{"name": names.GATEWAY_PORT_NAME, "containerPort": names.GATEWAY_PORT, "protocol": "TCP"}],
        "readinessProbe": _probe("/readyz", period_seconds=2, failures=2),
        "livenessProbe": _probe("/healthz", period_seconds=10, failures=6),
        "volumeMounts": [
            {"name": "model", "mountPath": names.MODEL_MOUNT, "readOnly": True},
            {"name": "data-path", "mountPath": names.SECRET_MOUNT, "readOnly": True},
            *_keys_mount(deployment.spec.gateway),
        ],
    }


def _environment(deployment: MoEDeployment) -> list[Json]:
    spec = deployment.spec
    values = {
        "MOE_DEPLOYMENT": deployment.metadata.name,
        "MOE_NAMESPACE": deployment.metadata.namespace,
        "MODEL_PATH": model_path(spec.model.source.path),
        "MOE_SERVED_MODEL": deployment.served_name,
        "MOE_PORT": str(names.GATEWAY_PORT),
        "MOE_HOLD_SECONDS": f"{max(spec.failover.hold_seconds, LEAST_HOLD_SECONDS):g}",
        "MOE_DRAIN_SECONDS": str(spec.gateway.drain_seconds),
        "MOE_MAX_SEQUENCE_LENGTH": str(spec.engine.max_sequence_length),
        "MOE_MAX_CHOICES": str(spec.gateway.max_choices),
        "MOE_REQUEST_SECONDS": f"{spec.gateway.request_seconds:g}",
        "MOE_STREAMS_PER_LANE": str(spec.gateway.streams_per_lane),
    }
    if spec.gateway.api_keys_secret:
        values["MOE_API_KEYS"] = names.API_KEYS_MOUNT
    return [*({"name": name, "value": value} for name, value in values.items()), *field_variables()]


def _keys_volume(gateway: GatewaySpec) -> list[Json]:
    """Without the Secret the pod waits, rather than let everybody in."""
    secret = gateway.api_keys_secret
    return [{"name": "api-keys", "secret": {"secretName": secret}}] if secret else []


def _keys_mount(gateway: GatewaySpec) -> list[Json]:
    mount = {"name": "api-keys", "mountPath": names.API_KEYS_MOUNT, "readOnly": True}
    return [mount] if gateway.api_keys_secret else []


def _probe(path: str, *, period_seconds: int, failures: int) -> Json:
    return {
        "httpGet": {"path": path, "port": names.GATEWAY_PORT},
        "periodSeconds": period_seconds,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _selector(deployment: MoEDeployment) -> dict[str, str]:
    return {
        names.LABEL_DEPLOYMENT: deployment.metadata.name,
        names.LABEL_APP_COMPONENT: names.COMPONENT_GATEWAY,
    }


def _metadata(deployment: MoEDeployment) -> Json:
    name = deployment.metadata.name
    return metadata(
        deployment.metadata.namespace, names.gateway_name(name), names.gateway_labels(name), owner_of(deployment)
    )
