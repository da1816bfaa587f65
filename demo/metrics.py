"""What the API server itself counts of requests that change something."""

import re
from collections import Counter

from demo.cluster import Cluster

MUTATING = frozenset({"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"})
LINE = re.compile(r"^apiserver_request_total\{(?P<labels>[^}]*)\} (?P<count>\S+)$", re.M)
LABEL = re.compile(r'(\w+)="([^"]*)"')


def count_writes(cluster: Cluster, resources: frozenset[str]) -> Counter[str]:
    """Mutating requests since the API server started, by `VERB resource/subresource`, of `resources` (plurals)."""
    found: Counter[str] = Counter()
    for match in LINE.finditer(cluster.metrics()):
        labels = dict(LABEL.findall(match["labels"]))
        if labels.get("verb") in MUTATING and labels.get("resource") in resources:
            what = f"{labels['verb']} {labels['resource']}/{labels.get('subresource', '')}".rstrip("/")
            found[what] += int(float(match["count"]))
    return found
