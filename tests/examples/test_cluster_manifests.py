"""What is shown for Kubernetes and Slurm, as far as it can be checked without either.

Core kinds, and the cluster's pods, are held to Kubernetes' own schemas. KubeRay's kinds are not in these:
they are checked for structure alone. That the operator takes them was not seen.
"""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from headstart.cli.app import app

kubernetes_validate = pytest.importorskip("kubernetes_validate")

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "cluster"
CORE_KINDS = {"Secret", "PersistentVolumeClaim"}


def documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / "kuberay.yaml").read_text(encoding="utf-8")))


def test_all_kinds_are_known() -> None:
    assert {each["kind"] for each in documents()} == CORE_KINDS | {"RayCluster", "RayJob"}


@pytest.mark.parametrize(
    "document", [each for each in documents() if each["kind"] in CORE_KINDS], ids=lambda each: each["kind"]
)
def test_core_kinds_are_valid(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def pod_templates() -> list[dict[str, Any]]:
    cluster = next(each for each in documents() if each["kind"] == "RayCluster")
    groups = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
    return [group["template"] for group in groups]


@pytest.mark.parametrize("template", pod_templates(), ids=["head", "workers"])
def test_pods_of_the_ray_cluster_are_valid(template: dict[str, Any]) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, **template}
    kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)


def test_the_ray_cluster_has_the_parts_that_the_operator_reads() -> None:
    cluster = next(each for each in documents() if each["kind"] == "RayCluster")
    assert cluster["apiVersion"] == "ray.io/v1"
    workers = cluster["spec"]["workerGroupSpecs"][0]
    assert workers["minReplicas"] <= workers["replicas"] <= workers["maxReplicas"]
    for group in (cluster["spec"]["headGroupSpec"], workers):  # Ray's parameters are text
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())


def test_all_parts_name_the_same_things() -> None:
    claims = {each["metadata"]["name"] for each in documents() if each["kind"] == "PersistentVolumeClaim"}
    secrets = {each["metadata"]["name"] for each in documents() if each["kind"] == "Secret"}
    for template in pod_templates():
        spec = template["spec"]
        assert {volume["persistentVolumeClaim"]["claimName"] for volume in spec["volumes"]} <= claims
        for container in spec["containers"]:
            named = {source["secretRef"]["name"] for source in container["envFrom"]}
            named |= {
                variable["valueFrom"]["secretKeyRef"]["name"]
                for variable in container["env"]
                if "valueFrom" in variable
            }
            assert named <= secrets


def test_the_job_is_a_command_of_headstart_on_that_cluster() -> None:
    kinds = {each["kind"]: each for each in documents() if each["apiVersion"] == "ray.io/v1"}
    job, words = kinds["RayJob"], kinds["RayJob"]["spec"]["entrypoint"].split()
    assert job["spec"]["clusterSelector"] == {"ray.io/cluster": kinds["RayCluster"]["metadata"]["name"]}
    command = get_command(app).commands[words[1]]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_the_shell_reads_the_slurm_script() -> None:
    subprocess.run(["bash", "-n", FOLDER / "slurm.sh"], check=True)
