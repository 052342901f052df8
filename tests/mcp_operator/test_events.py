from __future__ import annotations

import pytest
from fake_builder import FakeClock
from fake_cluster import POLICY, SERVER, FakeCluster
from mcp_operator import cluster, events
from mcp_operator.events import Event, Recorder
from mcp_operator.models.status import (
    AgentTools,
    BuildStatus,
    Condition,
    ImageStatus,
    MCPAgentStatus,
    MCPServerStatus,
    SourceStatus,
)


def condition(kind: str, status: str = "True", reason: str = "Succeeded") -> Condition:
    return Condition.model_validate(
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        },
    )


def build(progress: str | None, started: str = "1") -> MCPServerStatus:
    return MCPServerStatus(build=BuildStatus(key="k", started_at=started, progress=progress))


def tried(kind: str) -> MCPServerStatus:
    return MCPServerStatus(source_kind=kind, build=BuildStatus(key="k", revision="1.2", started_at="1"))


@pytest.mark.requirement("F-08")
def test_a_build_has_started_when_it_leaves_the_queue_and_only_once() -> None:
    reasons = [
        [event.reason for event in events.of_server(before, after)]
        for before, after in [
            (MCPServerStatus(), build("Queued 1")),
            (build("Queued 1"), build("Queued 2")),
            (build("Queued 1"), build("Fetch", "2")),
            (build("Fetch"), build("Build 1/9")),
            (MCPServerStatus(), build("Fetch")),
        ]
    ]
    assert reasons == [[], [], ["BuildStarted"], [], ["BuildStarted"]]


@pytest.mark.requirement("O-02")
def test_an_image_that_is_there_already_is_not_said_to_be_built() -> None:
    of = {kind: events.of_server(MCPServerStatus(), tried(kind)) for kind in ("pypi", "image")}
    assert of["pypi"][0].note == "Building 1.2, build number 1"
    assert of["image"][0].note == "Trying out image 1.2, build number 1"


def test_stalling_is_told_once_for_each_reason() -> None:
    invalid = MCPServerStatus(conditions=[condition("Stalled", reason="InvalidSpec")])
    missing = MCPServerStatus(conditions=[condition("Stalled", reason="RefNotFound")])
    assert [(each.reason, each.type) for each in events.of_server(MCPServerStatus(), invalid)] == [
        ("InvalidSpec", "Warning"),
    ]
    assert events.of_server(invalid, invalid) == []
    assert [each.reason for each in events.of_server(invalid, missing)] == ["RefNotFound"]


@pytest.mark.requirement("O-02")
def test_what_is_waited_for_is_told_once_and_building_is_not() -> None:
    def state(reason: str, status: str = "False") -> MCPServerStatus:
        return MCPServerStatus(
            conditions=[condition("Ready", status, reason), condition("Reconciling", "True", reason)]
        )

    told = [
        [event.reason for event in events.of_server(state(before), state(after))]
        for before, after in [
            ("Succeeded", "RemoteUnreachable"),
            ("RemoteUnreachable", "RemoteUnreachable"),
            ("Succeeded", "Building"),
            ("Succeeded", "LookingUp"),
            ("LookingUp", "SecretMissing"),
        ]
    ]
    assert told == [["RemoteUnreachable"], [], [], [], ["SecretMissing"]]


@pytest.mark.requirement("O-02")
def test_what_is_in_service_is_told_when_it_changes() -> None:
    def serving(tools: str, image: ImageStatus | None) -> MCPServerStatus:
        source = SourceStatus(revision="sha256:" + "d" * 64)
        return MCPServerStatus(source=source, image=image, tools_hash=tools, tool_count=2)

    image = ImageStatus(reference="r@sha256:1", id="1", size=1, command=[], working_dir="/", build_key="k")
    other = image.model_copy(update={"build_key": "l"})
    pairs = [
        (MCPServerStatus(), serving("1", image)),
        (serving("1", image), serving("1", image)),
        (serving("1", image), serving("1", other)),
        (serving("1", None), serving("2", None)),
    ]
    notes = [[(event.reason, event.note) for event in events.of_server(*pair)] for pair in pairs]
    built = [("ImageBuilt", "dddddddddddd is in service: 2 tools, r@sha256:1")]
    assert notes == [built, [], built, [("ToolsChanged", "dddddddddddd is in service: 2 tools")]]


def test_the_first_tools_of_an_agent_are_no_change_of_policy() -> None:
    none = MCPAgentStatus(tools=AgentTools(visible=0, total=0, names=[]))
    some = MCPAgentStatus(tools=AgentTools(visible=1, total=1, names=["a"]), pod_name="dev")
    other = MCPAgentStatus(tools=AgentTools(visible=1, total=1, names=["b"]), pod_name="dev")
    assert events.of_agent(none, some) == []
    (event,) = events.of_agent(some, other)
    assert event.note == "1 of 1 tools are visible now: 1 came (b), 1 went (a)"


@pytest.mark.requirement("O-02")
def test_what_an_agent_waits_for_is_told_once_where_it_is_somebodys_work() -> None:
    none = MCPAgentStatus()
    missing = MCPAgentStatus(conditions=[condition("Ready", "False", "SecretMissing")])
    starting = MCPAgentStatus(conditions=[condition("Ready", "False", "PodStarting")])
    assert [(each.reason, each.type) for each in events.of_agent(none, missing)] == [("SecretMissing", "Warning")]
    assert events.of_agent(missing, missing) == []
    assert events.of_agent(none, starting) == []


def test_a_change_among_more_tools_than_a_status_names_is_told_by_their_numbers() -> None:
    names = [f"t{number}" for number in range(50)]
    many = MCPAgentStatus(tools=AgentTools(visible=68, total=68, names=names), pod_name="dev")
    fewer = MCPAgentStatus(tools=AgentTools(visible=2, total=68, names=["t0", "u"]), pod_name="dev")
    notes = [event.note for pair in ((many, fewer), (fewer, many)) for event in events.of_agent(*pair)]
    assert notes == ["2 of 68 tools are visible now: 68 of 68 before", "68 of 68 tools are visible now: 2 of 68 before"]


def test_an_event_names_its_object_and_stays_within_the_api_servers_limits() -> None:
    fake = FakeCluster()
    server, policy = fake.add(SERVER, "one", {}), fake.add(POLICY, "cap", {})
    recorder = Recorder(fake, FakeClock())
    recorder.record(server, [Event("X", "é" * 2000)])
    recorder.record(policy, [Event("Y", "note", "Warning")])
    first, second = fake.events
    assert first["regarding"]["uid"] == server["metadata"]["uid"]
    assert len(first["note"].encode()) <= events.NOTE_LENGTH
    assert second["metadata"]["namespace"] == "default"
    assert second["type"] == "Warning"


def test_an_event_that_cannot_be_written_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Full(FakeCluster):
        def emit(self, event: cluster.Manifest) -> None:
            raise cluster.ForbiddenError(f"quota: {event['reason']}")

    fake = Full()
    Recorder(fake, FakeClock()).record(fake.add(SERVER, "one", {}), [Event("X", "n"), Event("Y", "n")])
    assert caplog.text.count("not written") == 2
