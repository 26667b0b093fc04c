"""The manifests of deploy/kubernetes against the code: settings, streams, groups, processes."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.main import PROCESSES
from shared.settings import Settings, load
from shared.topology import STREAMS

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
SETTINGS = {name.upper() for name in Settings.__struct_fields__}
# Of KEDA's scaler for Redis Streams, version 2.11 and later.
TRIGGER_FIELDS = {
    "address", "host", "port", "usernameFromEnv", "passwordFromEnv", "stream", "consumerGroup",
    "pendingEntriesCount", "streamLength", "lagCount", "activationLagCount", "enableTLS",
    "unsafeSsl", "databaseIndex", "addressFromEnv", "hostFromEnv", "portFromEnv",
}  # fmt: skip
SCALED_FIELDS = {
    "scaleTargetRef", "pollingInterval", "cooldownPeriod", "idleReplicaCount", "minReplicaCount",
    "maxReplicaCount", "fallback", "advanced", "triggers",
}  # fmt: skip


@cache
def read_all() -> list[tuple[Path, dict[str, Any]]]:
    """Every object with the file that it is in."""
    return [
        (path, found)
        for path in sorted(FOLDER.rglob("*.yaml"))
        for found in yaml.safe_load_all(path.read_text())
    ]


def find(kind: str) -> list[dict[str, Any]]:
    return [one for _, one in read_all() if one["kind"] == kind]


def name_of(thing: dict[str, Any]) -> tuple[str, str]:
    metadata = thing.get("metadata", {"name": ""})  # a Kustomization has none
    return metadata.get("namespace", ""), metadata["name"]


def configured(namespace: str) -> dict[str, str]:
    found: dict[str, str] = next(
        one["data"] for one in find("ConfigMap") if one["metadata"]["namespace"] == namespace
    )
    return found


def pod_of(deployment: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    return pod, container


def test_every_setting_exists_and_is_valid() -> None:
    """What the two ConfigMaps say can be loaded, and they agree on what must be the same."""
    stages, executors = configured("hearth"), configured("hearth-executors")

    assert set() == (set(stages) | set(executors)) - SETTINGS
    assert load(stages).partitions == load(executors).partitions
    shared = {"SQS_QUEUE_URL", "S3_CODE_BUCKET", "S3_OUTPUT_BUCKET", "AWS_REGION"}
    assert {one: stages[one] for one in shared} == {one: executors[one] for one in shared}


def test_each_process_has_its_deployment() -> None:
    """All but the embedded default and what is started on demand."""
    deployed = {pod_of(one)[1]["args"][0] for one in find("Deployment")}

    assert {"local", "traces"} == set(PROCESSES) - deployed
    assert all(one["metadata"]["name"] == pod_of(one)[1]["args"][0] for one in find("Deployment"))


def test_only_the_executor_is_privileged() -> None:
    """Everything else runs as nobody, on a read-only root, without capabilities."""
    for deployment in find("Deployment"):
        pod, container = pod_of(deployment)
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"]
        assert not pod["automountServiceAccountToken"]
        if deployment["metadata"]["name"] != "executor":
            assert {"drop": ["ALL"]} == context["capabilities"]
            assert pod["securityContext"]["runAsNonRoot"]
            assert not context["allowPrivilegeEscalation"]
            assert {"tmp"} == {volume["name"] for volume in pod["volumes"]}


def test_the_executors_budget_is_reserved_and_its_drain_is_waited_for() -> None:
    """Kubernetes does not see the sandboxes: the pod's request stands for them."""
    settings = load(configured("hearth-executors"))
    executor = next(one for one in find("Deployment") if one["metadata"]["name"] == "executor")
    pod, container = pod_of(executor)
    mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    hosted = {one["name"]: one["hostPath"]["path"] for one in pod["volumes"] if "hostPath" in one}

    requested_mb = int(container["resources"]["requests"]["memory"].removesuffix("Gi")) << 10
    assert requested_mb >= settings.memory_budget_mb + 1_024
    assert pod["terminationGracePeriodSeconds"] > settings.drain_seconds + 15
    assert hosted == {name: mounts[name] for name in hosted}
    assert settings.state_dir == mounts["state"]


def test_everything_is_where_it_belongs() -> None:
    """References lead to objects of the same namespace; the kustomizations name every file."""
    names = {(one["kind"], *name_of(one)) for _, one in read_all()}
    for deployment in find("Deployment"):
        namespace, name = name_of(deployment)
        pod, container = pod_of(deployment)
        assert ("ServiceAccount", namespace, pod["serviceAccountName"]) in names
        assert ("ConfigMap", namespace, container["envFrom"][0]["configMapRef"]["name"]) in names
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert labels == deployment["spec"]["selector"]["matchLabels"]
        assert name == labels["app.kubernetes.io/component"]
    for budget in find("PodDisruptionBudget"):
        assert ("Deployment", *name_of(budget)) in names
    listed = set()
    for path, one in read_all():
        if one["kind"] == "Kustomization":
            listed |= {path.parent / name for name in one["resources"]} | {path}
    assert {path for path, _ in read_all()} == {
        FOLDER / "secret-example.yaml" if path.name == "secret.yaml" else path for path in listed
    }


def test_each_trigger_names_a_stream_and_the_group_that_reads_it() -> None:
    """One for each partition, on lag; KEDA wants strings."""
    group_of = {stream.name: stream.group for stream in STREAMS}
    for scaled in find("ScaledObject"):
        namespace, name = name_of(scaled)
        partitions = load(configured(namespace)).partitions
        keys = []
        for trigger in scaled["spec"]["triggers"]:
            metadata = trigger["metadata"]
            keys.append(metadata["stream"])
            assert "redis-streams" == trigger["type"]
            assert name == metadata["consumerGroup"] == group_of[metadata["stream"].split(":")[2]]
            assert {str} == {type(value) for value in metadata.values()}
            assert {"lagCount", "activationLagCount"} <= set(metadata) <= TRIGGER_FIELDS
            assert ("TriggerAuthentication", namespace, trigger["authenticationRef"]["name"]) in {
                (one["kind"], *name_of(one)) for one in find("TriggerAuthentication")
            }
        stream = keys[0].split(":")[2]
        assert [f"{{hearth:{number}}}:{stream}" for number in range(partitions)] == keys


def test_every_stage_scales_within_reason() -> None:
    """Each stage once; one replica at least, which makes the group; as many tuners as can work."""
    scaled = {one["metadata"]["name"]: one["spec"] for one in find("ScaledObject")}

    assert {"ingest", "executor", "profiler", "tuner", "publisher"} == set(scaled)
    for name, spec in scaled.items():
        assert set(spec) <= SCALED_FIELDS
        assert {"name": name} == spec["scaleTargetRef"]
        assert 1 <= spec["minReplicaCount"] <= spec["maxReplicaCount"]
    assert load(configured("hearth")).partitions + 1 == scaled["tuner"]["maxReplicaCount"]
    executor = scaled["executor"]
    asked = int(executor["triggers"][0]["metadata"]["lagCount"]) * executor["maxReplicaCount"]
    assert asked <= load(configured("hearth")).backlog_max


def test_keda_is_given_what_the_secret_has() -> None:
    """Its parameters are those of the scaler, its keys those of the example."""
    keys = {name_of(one): set(one["stringData"]) for one in find("Secret")}
    for authentication in find("TriggerAuthentication"):
        namespace, _ = name_of(authentication)
        for reference in authentication["spec"]["secretTargetRef"]:
            assert reference["key"] in keys[namespace, reference["name"]]
            assert reference["parameter"] in {"address", "username", "password"}


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret", "NetworkPolicy"])
def test_both_namespaces_have_their_own(kind: str) -> None:
    """Nothing is shared between namespaces in Kubernetes."""
    assert {"hearth", "hearth-executors"} == {one["metadata"]["namespace"] for one in find(kind)}
