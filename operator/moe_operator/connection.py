"""Where the API server is and who we are: one answer for the operator's own client and for kopf."""

from __future__ import annotations

from collections.abc import Mapping

import kopf
from kubernetes.aio import client, config


async def load_configuration(environ: Mapping[str, str]) -> client.Configuration:
    """The service account when in a pod, else the kubeconfig that KUBECONFIG names (or ~/.kube/config)."""
    configuration = client.Configuration()
    if "KUBERNETES_SERVICE_HOST" in environ and "KUBECONFIG" not in environ:
        config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]  # the client is untyped
    else:
        path = environ.get("KUBECONFIG", config.KUBE_CONFIG_DEFAULT_LOCATION)
        await config.load_kube_config(path, None, configuration)  # type: ignore[no-untyped-call]  # the client is untyped
    return configuration


def kopf_connection(configuration: client.Configuration) -> kopf.ConnectionInfo:
    """The same server and identity in kopf's words; the token is read again, because it is rotated."""
    if configuration.refresh_api_key_hook is not None:
        configuration.refresh_api_key_hook(configuration)
    scheme, _, token = str(configuration.api_key.get("BearerToken", "")).partition(" ")
    return kopf.ConnectionInfo(
        server=str(configuration.host),
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        scheme=scheme.capitalize() or None,
        token=token or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
    )
