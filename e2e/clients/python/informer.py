"""Python's `kubernetes` client on one resource: lists, watches, and goes on after a cut, as its documentation shows it.

Prints one JSON object a line: type (ADDED, MODIFIED, DELETED, or SYNCED after the first list), name, labels, names.
"""

import argparse
import json
import sys
import time

from kubernetes import client, config, watch

parser = argparse.ArgumentParser()
parser.add_argument("--kubeconfig", required=True)
parser.add_argument("--server", help="instead of the kubeconfig's, with a path")
parser.add_argument("--namespace", help="ConfigMaps of this namespace instead of ClusterGateways")
arguments = parser.parse_args()

settings = client.Configuration()
config.load_kube_config(arguments.kubeconfig, client_configuration=settings)
if arguments.server:
    settings.host = arguments.server
api = client.ApiClient(settings)


if arguments.namespace:
    method, of = client.CoreV1Api(api).list_namespaced_config_map, [arguments.namespace]
else:
    method = client.CustomObjectsApi(api).list_cluster_custom_object
    of = ["cluster.core.oam.dev", "v1alpha1", "clustergateways"]


def plain(thing):
    """Models and dictionaries alike as the JSON that was received."""
    return api.sanitize_for_serialization(thing)


def report(kind, **more):
    print(json.dumps({"type": kind, **more}), flush=True)


# Name to metadata, because a list after a cut must be compared with what was known before it.
known = {}


def apply(kind, metadata):
    name = metadata["name"]
    before = known.get(name)
    if kind == "DELETED":
        if known.pop(name, None) is None:
            return
    else:
        if before and before["resourceVersion"] == metadata["resourceVersion"]:
            return
        kind = "MODIFIED" if before else "ADDED"
        known[name] = metadata
    report(kind, name=name, labels=metadata.get("labels") or {})


def relist():
    listed = plain(method(*of))
    present = {item["metadata"]["name"]: item["metadata"] for item in listed["items"]}
    for name in [name for name in known if name not in present]:
        apply("DELETED", known[name])
    for metadata in present.values():
        apply("ADDED", metadata)
    return listed["metadata"]["resourceVersion"]


resource_version = None
synced = False
while True:
    try:
        if resource_version is None:
            resource_version = relist()
            if not synced:
                synced = True
                report("SYNCED", names=sorted(known))
        for event in watch.Watch().stream(method, *of, resource_version=resource_version, timeout_seconds=60):
            seen = plain(event["object"])["metadata"]
            resource_version = seen["resourceVersion"]
            apply(event["type"], seen)
    # Whatever the client makes of a cut: ApiException, errors of urllib3, a JSON error because of half a line.
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        if getattr(error, "status", None) == 410:
            resource_version = None
        time.sleep(0.5)
