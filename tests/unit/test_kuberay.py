import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

import dbd_ray
from dbd_ray.config import load_train_config
from dbd_ray.config.serve import KEYS_VARIABLE, ServeConfig
from dbd_ray.errors import ConfigError
from dbd_ray.serving.keys import load_keys

ROOT = Path(dbd_ray.__file__).parent.parent
FOLDER = ROOT / "serve" / "kuberay"
CLUSTER_AT = {"RayService": "rayClusterConfig", "RayJob": "rayClusterSpec", "RayCluster": None}
FILES = ["rayservice.yaml", "rayjob-train.yaml", "raycluster.yaml"]
GROUP_FIELDS = {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}
# of KubeRay 1.7's reference, those in use: a misspelt one would be dropped without a word, or refused
FIELDS = {
    "RayService": {
        *("serveConfigV2", "rayClusterConfig", "upgradeStrategy"),
        *("rayClusterDeletionDelaySeconds", "excludeHeadPodFromServeSvc"),
    },
    "RayJob": {
        *("entrypoint", "backoffLimit", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "rayClusterSpec"),
    },
    "cluster": {
        *("rayVersion", "authOptions", "enableInTreeAutoscaling", "autoscalerOptions"),
        *("headGroupSpec", "workerGroupSpecs"),
    },
}


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


def ray_resource(name: str) -> dict[str, Any]:
    (found,) = [document for document in documents(name) if document["apiVersion"] == "ray.io/v1"]
    return found


def cluster(name: str) -> dict[str, Any]:
    resource = ray_resource(name)
    at = CLUSTER_AT[resource["kind"]]
    return resource["spec"] if at is None else resource["spec"][at]


def containers(name: str) -> Iterator[dict[str, Any]]:
    spec = cluster(name)
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        yield from group["template"]["spec"]["containers"]


def deployments(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    (application,) = config["applications"]
    return {deployment["name"]: deployment for deployment in application["deployments"]}


@pytest.fixture(scope="module")
def in_cluster() -> dict[str, Any]:
    return yaml.safe_load(ray_resource("rayservice.yaml")["spec"]["serveConfigV2"])


@pytest.fixture(scope="module")
def on_any_cluster() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "serve" / "config.yaml").read_text())


def test_every_file_of_the_folder_is_tested() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(FILES)


@pytest.mark.parametrize("name", FILES)
def test_fields_are_those_of_kuberay(name: str) -> None:
    resource, spec = ray_resource(name), cluster(name)
    if resource["kind"] != "RayCluster":
        assert resource["spec"].keys() <= FIELDS[resource["kind"]]
    assert spec.keys() <= FIELDS["cluster"]
    assert spec["headGroupSpec"].keys() == {"rayStartParams", "template"}
    for group in spec["workerGroupSpecs"]:
        assert group.keys() == GROUP_FIELDS
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


@pytest.mark.parametrize("name", FILES)
def test_nobody_without_a_token_runs_code_and_nothing_runs_on_the_head(name: str) -> None:
    assert cluster(name)["authOptions"] == {"mode": "token"}
    assert cluster(name)["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


@pytest.mark.parametrize("name", FILES)
def test_images_agree_within_a_file_and_with_the_package(name: str) -> None:
    (image,) = {container["image"] for container in containers(name)}
    assert re.fullmatch(rf"dbd-ray:{re.escape(dbd_ray.__version__)}-(cpu|gpu)", image)
    assert f"AS {image.rsplit('-', 1)[1]}\n" in (ROOT / "Dockerfile").read_text()
    if any("nvidia.com/gpu" in container["resources"]["limits"] for container in containers(name)):
        assert image.endswith("-gpu")


@pytest.mark.parametrize("name", FILES)
def test_rays_version_is_the_images(name: str) -> None:
    assert f"\nray=={cluster(name)['rayVersion']}\n" in (ROOT / "constraints.txt").read_text()


@pytest.mark.parametrize("name", FILES)
def test_what_containers_take_from_secrets_and_maps_is_in_the_file(name: str) -> None:
    there = {(document["kind"], document["metadata"]["name"]) for document in documents(name)}
    for container in containers(name):
        assert container["envFrom"]
        for source in container["envFrom"]:
            ((kind, reference),) = source.items()
            assert (kind[0].upper() + kind[1:].removesuffix("Ref"), reference["name"]) in there
        assert "env" not in container, "a variable that is set twice: which one counts?"


@pytest.mark.parametrize("name", FILES)
def test_containers_have_no_more_rights_than_they_need(name: str) -> None:
    spec = cluster(name)
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        assert group["template"]["spec"]["securityContext"]["runAsNonRoot"]
    for container in containers(name):
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]


@pytest.mark.parametrize("name", FILES)
def test_anchors_do_not_reach_into_another_document(name: str) -> None:
    for text in (FOLDER / name).read_text().split("\n---\n"):
        yaml.safe_load(text)


def test_ray_serve_accepts_both_configurations(in_cluster: dict[str, Any], on_any_cluster: dict[str, Any]) -> None:
    for config in (in_cluster, on_any_cluster):
        schema = ServeDeploySchema.model_validate(config)
        module, name = schema.applications[0].import_path.split(":")
        assert callable(getattr(importlib.import_module(module), name))
        ServeConfig.model_validate(schema.applications[0].args)


def test_names_are_those_of_the_configuration(in_cluster: dict[str, Any], on_any_cluster: dict[str, Any]) -> None:
    assert deployments(in_cluster).keys() == deployments(on_any_cluster).keys() == {"FocusGateway", "FocusDetector"}
    for key in ("name", "route_prefix", "import_path"):
        assert in_cluster["applications"][0][key] == on_any_cluster["applications"][0][key]


def test_settings_that_have_nothing_to_do_with_the_cluster_are_the_same(
    in_cluster: dict[str, Any], on_any_cluster: dict[str, Any]
) -> None:
    of_the_cluster = {"autoscaling_config", "max_replicas_per_node", "ray_actor_options"}
    for name, here in deployments(in_cluster).items():
        there = deployments(on_any_cluster)[name]
        assert {k: here[k] for k in here.keys() - of_the_cluster} == {
            k: there[k] for k in there.keys() - of_the_cluster
        }
    assert in_cluster["http_options"] == {**on_any_cluster["http_options"], "host": "0.0.0.0"}


def test_the_loss_of_one_node_leaves_a_replica_of_each_kind(in_cluster: dict[str, Any]) -> None:
    (workers,) = cluster("rayservice.yaml")["workerGroupSpecs"]
    for deployment in deployments(in_cluster).values():
        assert deployment["autoscaling_config"]["min_replicas"] >= 2
        assert deployment["max_replicas_per_node"] == 1
        assert workers["minReplicas"] >= deployment["autoscaling_config"]["min_replicas"]
        assert workers["maxReplicas"] >= deployment["autoscaling_config"]["max_replicas"]


def test_one_replica_of_each_kind_fits_on_a_worker(in_cluster: dict[str, Any]) -> None:
    (workers,) = cluster("rayservice.yaml")["workerGroupSpecs"]
    room = float(workers["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"])
    assert sum(one["ray_actor_options"]["num_cpus"] for one in deployments(in_cluster).values()) <= room


def test_the_example_key_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    (secret,) = [document for document in documents("rayservice.yaml") if document["kind"] == "Secret"]
    monkeypatch.setenv(KEYS_VARIABLE, secret["stringData"][KEYS_VARIABLE])
    with pytest.raises(ConfigError, match="can be guessed"):
        load_keys(None)


def test_the_training_jobs_command_is_one_of_the_packages() -> None:
    words = shlex.split(ray_resource("rayjob-train.yaml")["spec"]["entrypoint"])
    script, config = words[1], words[words.index("--config") + 1]
    for path in (script, config):
        assert (ROOT / Path(path).relative_to("/app")).is_file()
    settings = [words[at + 1] for at, word in enumerate(words) if word == "--set"]
    found = load_train_config(ROOT / Path(config).relative_to("/app"), settings)
    (group,) = cluster("rayjob-train.yaml")["workerGroupSpecs"]
    assert (found.storage, found.workers.count) == ("s3://bucket/runs", group["replicas"])
