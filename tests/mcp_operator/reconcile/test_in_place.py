from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from examples import SETTINGS, agent, running
from mcp_operator import names
from mcp_operator.manifests.pod import agent_pod
from mcp_operator.manifests.servers import RunningServer
from mcp_operator.manifests.upstreams import Upstream
from mcp_operator.models.source import KeyRef
from mcp_operator.reconcile import in_place

if TYPE_CHECKING:
    from mcp_operator.models.agent import MCPAgentSpec
    from mcp_operator.objects import Resource

pytestmark = pytest.mark.requirement("O-11")

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD, NEW = f"r.test/git@sha256:{'0' * 64}", f"r.test/git@sha256:{'1' * 64}"
CONTAINER = names.server_container("git")


def server(image: str = OLD, **more: object) -> RunningServer:
    return RunningServer(**{**vars(running("git")), "image": image, **more})


def far(name: str = "far", key: str = "k") -> Upstream:
    return Upstream(
        name=name, url="https://mcp.test", transport="streamable-http", ca=KeyRef(name="authorities", key=key)
    )


def pod(*servers: RunningServer | Upstream, of: Resource[MCPAgentSpec] | None = None) -> dict[str, Any]:
    return agent_pod(of or agent(*(each.name for each in servers)), servers, "hash", SETTINGS)


def runs(found: dict[str, Any], container_id: str = "c1") -> dict[str, Any]:
    state = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    found["status"] = {"initContainerStatuses": [{"name": CONTAINER, "containerID": container_id, "state": state}]}
    return found


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (pod(server()), "none"),
        (pod(server(NEW)), "images"),
        (pod(server(inputs="12ab34cd")), "images"),
        (pod(server(working_dir="/other")), "pod"),
        (pod(server(command=("other",))), "pod"),
        (pod(server(), far()), "pod"),
        (pod(server(), of=agent("git", requiredTools=["git/log"])), "pod"),
    ],
    ids=["same", "image", "secret", "folder", "command", "volume", "required"],
)
def test_only_other_images_and_inputs_can_be_changed_in_a_pod_that_runs(wanted: dict[str, Any], expected: str) -> None:
    assert in_place.difference(pod(server()), wanted) == expected


def test_a_volume_too_many_is_no_difference_and_one_with_another_content_is() -> None:
    assert in_place.difference(pod(server(), far(), far("more")), pod(server(), far())) == "none"
    assert in_place.difference(pod(server(), far()), pod(server(), far(key="other"))) == "pod"


def test_an_image_without_a_digest_cannot_be_renamed_so_other_inputs_make_another_pod() -> None:
    before, after = pod(server("r.test/git:1", inputs="aa")), pod(server("r.test/git:1", inputs="bb"))
    assert in_place.difference(before, after) == "pod"


@pytest.mark.parametrize(("container", "image"), [(CONTAINER, OLD), ("toolman", SETTINGS.image_toolman)])
def test_an_image_of_ours_that_somebody_changed_in_the_pod_is_put_back(container: str, image: str) -> None:
    found = runs(pod(server()))
    next(each for each in found["spec"]["initContainers"] if each["name"] == container)["image"] = "evil.test/x:1"
    assert in_place.difference(found, pod(server())) == "images"
    assert in_place.change(found, pod(server()), NOW).images == {container: image}


def test_a_registry_that_a_webhook_put_before_the_same_image_is_left_alone() -> None:
    found = pod(server())
    for container in found["spec"]["initContainers"]:
        container["image"] = f"mirror.test/{container['image']}"
    assert in_place.difference(found, pod(server())) == "none"


def test_a_digest_that_a_webhook_added_to_a_tag_is_left_alone() -> None:
    found = pod(server())
    toolman = next(each for each in found["spec"]["initContainers"] if each["name"] == "toolman")
    toolman["image"] = f"{toolman['image']}@sha256:{'2' * 64}"
    assert in_place.difference(found, pod(server())) == "none"


def test_putting_an_image_back_writes_the_same_each_time() -> None:
    found = runs(pod(server()))
    next(each for each in found["spec"]["initContainers"] if each["name"] == CONTAINER)["image"] = "evil.test/x:1"
    changes = [in_place.change(found, pod(server()), NOW + timedelta(seconds=later)) for later in (0, 100)]
    assert changes[0] == changes[1]


def test_a_change_names_the_containers_that_ran_before_it_and_is_over_when_they_do_not_run_any_more() -> None:
    found = runs(pod(server()))
    change = in_place.change(found, pod(server(NEW)), NOW)
    assert change.images == {CONTAINER: NEW}
    assert json.loads(change.annotations[names.ANNOTATION_SERVER_IMAGES]) == {"git": NEW}
    assert json.loads(change.annotations[names.ANNOTATION_IN_PLACE])["before"] == {CONTAINER: "c1"}
    found["metadata"]["annotations"] |= change.annotations
    assert in_place.unfinished(found) == [CONTAINER]
    assert in_place.unfinished(runs(copy.deepcopy(found), "c2")) == []


def test_a_container_that_waits_for_its_image_is_not_the_earlier_one() -> None:
    found = runs(pod(server()))
    found["metadata"]["annotations"] |= in_place.change(found, pod(server(NEW)), NOW).annotations
    found["status"]["initContainerStatuses"][0]["state"] = {"waiting": {"reason": "ImagePullBackOff"}}
    assert in_place.unfinished(found) == []


def test_a_kubelet_has_its_time_and_no_more() -> None:
    found = runs(pod(server()))
    found["metadata"]["annotations"] |= in_place.change(found, pod(server(NEW)), NOW).annotations
    assert not in_place.is_overdue(found, NOW + timedelta(seconds=in_place.DUE))
    assert in_place.is_overdue(found, NOW + timedelta(seconds=in_place.DUE + 1))
    assert not in_place.is_overdue(runs(found, "c2"), NOW + timedelta(days=1))
    assert not in_place.is_overdue(None, NOW)


@pytest.mark.parametrize("text", ["", "x", "[]", '{"before": 1}', '{"before": {"mcp-server-git": "c1"}, "at": "x"}'])
def test_an_annotation_that_somebody_spoilt_is_no_reason_to_stumble(text: str) -> None:
    found = runs(pod(server()))
    found["metadata"]["annotations"][names.ANNOTATION_IN_PLACE] = text
    found["metadata"]["annotations"][names.ANNOTATION_UPSTREAMS] = text
    assert in_place.is_overdue(found, NOW) in {True, False}
    assert in_place.difference(found, pod(server())) in {"none", "pod"}
