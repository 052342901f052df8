from __future__ import annotations

import pytest
from fake_builder import failure
from fake_cluster import AGENT, POLICY
from mcp_operator.cluster import UnreachableError
from mcp_operator.images.contract import BuildError, GitSource, Step
from mcp_operator.images.placeholders import PLACEHOLDER
from mcp_operator.reconcile import secrets_reader
from mcp_operator.reconcile.lookups import RECHECK_FIRST, RETRY_FIRST
from mcp_operator.reconcile.revisions import INTERVAL
from mcp_operator.workqueue import Key
from server_world import ONE, World


def test_a_branch_that_moved_is_built_after_the_interval(world: World) -> None:
    uid = world.apply()
    world.build(uid)
    world.builder.commit = "b" * 40
    world.look()
    assert len(world.builder.requests) == 1
    world.clock.forward(INTERVAL)
    world.build(uid)
    assert world.status["source"]["commit"] == "b" * 40


@pytest.mark.requirement("F-08")
@pytest.mark.parametrize(
    ("transient", "flag", "delay"), [(True, "Reconciling", RETRY_FIRST), (False, "Stalled", RECHECK_FIRST)]
)
def test_a_source_that_is_not_there_is_told_with_its_cause(
    world: World,
    transient: bool,  # noqa: FBT001 - a column of the table
    flag: str,
    delay: float,
) -> None:
    world.builder.resolve_error = BuildError(
        "RefNotFound", "no branch x", step=Step.FETCH, hint="Check spec.source.git.ref.", transient=transient
    )
    world.apply()
    assert world.look() == delay
    assert world.condition("SourceReady") == ("False", "RefNotFound")
    assert world.condition(flag) == ("True", "RefNotFound")
    ready = next(each for each in world.status["conditions"] if each["type"] == "Ready")
    assert ready["message"] == "no branch x. Check spec.source.git.ref."
    world.look()
    assert world.builder.questions == 1
    world.clock.forward(delay)
    world.look()
    assert world.builder.questions == 2


@pytest.mark.requirement("F-08")
def test_a_git_host_that_is_down_takes_nothing_out_of_service(world: World) -> None:
    world.build(world.apply())
    world.builder.resolve_error = BuildError("HostUnreachable", "no answer", step=Step.FETCH, transient=True)
    world.clock.forward(INTERVAL)
    world.look()
    assert world.condition("Ready")[0] == "True"
    assert world.condition("SourceReady") == ("False", "HostUnreachable")
    assert world.condition("Pushed")[0] == "True"


def test_a_git_host_that_is_down_does_not_hide_that_the_spec_is_not_in_service(world: World) -> None:
    world.build(world.apply())
    world.builder.resolve_error = BuildError("HostUnreachable", "no answer", step=Step.FETCH, transient=True)
    world.apply(source={"git": {"url": "https://git.test/two"}})
    world.look()
    assert world.condition("Ready") == ("False", "HostUnreachable")


@pytest.mark.requirement("F-08")
def test_an_engine_that_is_down_takes_nothing_out_of_service(world: World) -> None:
    world.build(world.apply())
    world.builder.key_error = failure("EngineUnavailable", transient=True)
    world.look()
    assert world.condition("Ready")[0] == "True"
    world.apply(build={"runtime": "node"})
    world.look()
    assert world.condition("Ready") == ("False", "EngineUnavailable")


def test_a_spec_that_does_not_fit_is_told_by_field(world: World) -> None:
    world.apply(build={"colour": "blue"})
    world.look()
    assert world.condition("Ready") == ("False", "InvalidSpec")
    assert "spec.build.colour" in world.status["conditions"][0]["message"]


def test_the_handshake_gets_placeholders_for_what_comes_from_secrets(world: World) -> None:
    token = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    world.cluster.give("Secret", "s", "k")
    world.build(world.apply(run={"env": [{"name": "A", "value": "1"}, token], "args": ["--fast"]}))
    assert world.builder.requests[0].env == {"A": "1", "TOKEN": PLACEHOLDER}
    assert world.builder.requests[0].args == ("--fast",)


def test_agents_are_looked_at_when_their_servers_spec_changes_even_if_git_is_down(world: World) -> None:
    world.cluster.add(AGENT, "dev", {"servers": [{"name": "one"}]})
    world.cluster.add(AGENT, "other", {"servers": [{"name": "two"}]})
    world.builder.resolve_error = failure("HostUnreachable", transient=True)
    world.apply(tools={"deny": ["write"]})
    world.look()
    assert Key("MCPAgent", "team", "dev") in world.woken
    assert Key("MCPAgent", "team", "other") not in world.woken


# --- every kind of source


@pytest.mark.requirement("O-01")
def test_the_highest_tag_in_a_range_is_built_and_the_next_one_when_it_is_there(world: World) -> None:
    world.builder.repository_tags = {"v1.0.0": "1" * 40, "v1.4.0": "4" * 40, "v2.0.0": "2" * 40}
    uid = world.apply(source={"git": {"url": "https://git.test/one", "ref": {"semver": "^1"}}})
    world.build(uid)
    assert world.status["source"]["commit"] == "4" * 40
    assert world.status["source"]["tag"] == "v1.4.0"
    world.builder.repository_tags["v1.5.0"] = "5" * 40
    world.clock.forward(INTERVAL)
    world.build(uid)
    assert world.status["source"]["tag"] == "v1.5.0"


@pytest.mark.requirement("O-01")
def test_a_range_that_no_tag_is_in_says_which_tags_there_are(world: World) -> None:
    world.builder.repository_tags = {"v1.0.0": "1" * 40, "nightly": "2" * 40}
    world.apply(source={"git": {"url": "https://git.test/one", "ref": {"semver": "^3"}}})
    world.look()
    assert world.condition("SourceReady") == ("False", "RefNotFound")
    assert "the highest are v1.0.0" in world.message("Ready")
    world.apply(source={"git": {"url": "https://git.test/one", "ref": {"semver": "^"}}})
    world.look()
    assert world.condition("Stalled") == ("True", "InvalidSpec")


@pytest.mark.requirement("O-01")
def test_a_repository_is_looked_up_as_often_as_its_owner_says(world: World) -> None:
    world.build(world.apply(source={"git": {"url": "https://git.test/one", "interval": "45s"}}))
    assert world.look() == 45


@pytest.mark.requirement("O-01")
def test_the_last_good_image_stays_in_service_when_a_new_commit_fails(world: World) -> None:
    uid = world.apply()
    world.build(uid)
    good = world.status["image"]
    world.builder.commit = "b" * 40
    world.builder.error = failure("CompileFailed")
    world.clock.forward(INTERVAL)
    world.build(uid)
    assert world.status["image"] == good
    assert world.status["source"]["commit"] == "a" * 40
    assert world.status["build"]["revision"] == "b" * 40
    assert world.condition("Ready") == ("False", "CompileFailed")
    assert f"Commit {'a' * 40} stays in service" in world.message("Ready")


@pytest.mark.requirement("O-01")
@pytest.mark.parametrize("kind", ["npm", "pypi"])
def test_a_packages_newest_version_is_built_and_looked_up_again(world: World, kind: str) -> None:
    uid = world.apply(source={kind: {"package": "weather"}})
    world.build(uid)
    assert (world.status["sourceKind"], world.status["source"]["revision"]) == (kind, "1.2.3")
    assert world.status["source"]["name"] == f"{kind}:weather"
    assert "commit" not in world.status["source"]
    world.builder.version = "1.3.0"
    world.clock.forward(INTERVAL)
    world.build(uid)
    assert world.status["source"]["revision"] == "1.3.0"
    assert [getattr(request.source, "version", "") for request in world.builder.builds] == ["1.2.3", "1.3.0"]


@pytest.mark.requirement("O-01")
@pytest.mark.parametrize("kind", ["npm", "pypi"])
def test_an_exact_version_of_a_package_needs_no_question(world: World, kind: str) -> None:
    world.build(world.apply(source={kind: {"package": "weather", "version": "1.0.0"}}))
    assert world.status["source"]["revision"] == "1.0.0"
    assert world.builder.questions == 0


@pytest.mark.requirement("O-01")
def test_a_private_repository_is_read_with_its_secret_and_built_with_it(world: World) -> None:
    world.cluster.secrets["team", "forge"] = {"username": b"ann", "password": b"hunter2hunter2"}
    spec = {"git": {"url": "https://git.test/one", "secretRef": {"name": "forge"}}}
    world.build(world.apply(source=spec))
    asked, built = world.builder.asked[0], world.builder.builds[0].source
    assert isinstance(asked, GitSource)
    assert isinstance(built, GitSource)
    assert asked.credentials == built.credentials
    assert asked.credentials is not None
    assert (asked.credentials.username, asked.credentials.token) == ("ann", "hunter2hunter2")
    assert "hunter2" not in str(world.cluster.objects) + str(world.cluster.events) + repr(world.builder.requests)


@pytest.mark.requirement("O-01")
def test_an_ssh_url_is_read_with_key_and_known_hosts(world: World) -> None:
    world.cluster.secrets["team", "forge"] = {"ssh-privatekey": b"KEY", "known_hosts": b"git.test ssh-ed25519 AAAA"}
    world.build(world.apply(source={"git": {"url": "ssh://git@git.test/one", "secretRef": {"name": "forge"}}}))
    asked = world.builder.asked[0]
    assert isinstance(asked, GitSource)
    assert asked.credentials is not None
    assert (asked.credentials.ssh_key, asked.credentials.known_hosts) == ("KEY", "git.test ssh-ed25519 AAAA")


@pytest.mark.requirement("O-01", "O-05")
def test_a_missing_secret_is_waited_for_and_told_with_the_command_that_makes_it(world: World) -> None:
    spec = {"git": {"url": "https://git.test/one", "secretRef": {"name": "forge"}}}
    uid = world.apply(source=spec)
    assert world.look() == secrets_reader.RECHECK
    assert world.condition("SourceReady") == ("False", "SecretMissing")
    assert world.condition("Reconciling") == ("True", "SecretMissing")
    assert "kubectl create secret generic forge -n team" in world.message("Ready")
    assert not world.builder.requests
    assert "SecretMissing" in world.cluster.reasons
    world.cluster.secrets["team", "forge"] = {"username": b"ann"}
    world.clock.forward(secrets_reader.RECHECK)
    world.look()
    assert "Secret forge has no key password" in world.message("Ready")
    world.cluster.secrets["team", "forge"]["password"] = b"x"
    world.clock.forward(secrets_reader.RECHECK)
    world.build(uid)
    assert world.condition("Ready") == ("True", "Succeeded")


@pytest.mark.requirement("O-01", "O-02")
def test_credentials_that_are_missing_or_refused_are_told_with_the_secret_and_the_command(world: World) -> None:
    world.builder.resolve_error = failure("AuthenticationRequired", step=Step.FETCH)
    world.apply(source={"git": {"url": "ssh://git.test/one"}})
    world.look()
    said = world.message("Ready")
    assert "Look at the log. kubectl create secret generic NAME -n team --type=kubernetes.io/ssh-auth" in said
    assert "and spec.source.git.secretRef: {name: NAME}" in said
    world.cluster.secrets["team", "forge"] = {"username": b"ann", "password": b"wrong"}
    world.builder.resolve_error = failure("AuthenticationRequired", step=Step.FETCH)
    world.apply(source={"git": {"url": "https://git.test/one", "secretRef": {"name": "forge"}}})
    world.look()
    patch = """kubectl patch secret forge -n team -p '{"stringData": {"username": "VALUE", "password": "VALUE"}}'"""
    assert f"What was given: {patch}" in world.message("Ready")


@pytest.mark.requirement("O-01")
def test_a_secret_that_cannot_be_read_is_no_reason_to_stop_what_is_in_service(world: World) -> None:
    world.cluster.secrets["team", "forge"] = {"username": b"ann", "password": b"x"}
    world.build(world.apply(source={"git": {"url": "https://git.test/one", "secretRef": {"name": "forge"}}}))
    world.cluster.unreadable = UnreachableError("down")
    world.clock.forward(INTERVAL)
    world.look()
    assert world.condition("Ready") == ("True", "SecretUnreadable")


@pytest.mark.requirement("O-01", "O-30")
def test_no_look_waits_for_a_slow_host_and_the_answer_has_the_server_looked_at(world: World) -> None:
    world.slow = []
    uid = world.apply()
    assert world.look() is None
    assert world.condition("SourceReady") == ("False", "LookingUp")
    assert world.condition("Reconciling") == ("True", "LookingUp")
    world.woken.clear()
    world.answer()
    assert world.woken == [ONE]
    world.build(uid)
    assert world.condition("Ready") == ("True", "Succeeded")


@pytest.mark.requirement("O-30")
def test_an_operator_that_starts_writes_nothing_before_it_has_asked(world: World) -> None:
    world.build(world.apply())
    writes = len(world.cluster.writes)
    world.restart()
    world.slow = []
    world.look()
    assert len(world.cluster.writes) == writes
    world.answer()
    world.look()
    assert len(world.cluster.writes) == writes


@pytest.mark.requirement("O-01")
def test_the_annotation_has_everything_looked_up_at_once(world: World) -> None:
    uid = world.apply()
    world.build(uid)
    world.builder.commit = "b" * 40
    world.annotate(reconcile="1")
    world.build(uid)
    assert world.status["source"]["commit"] == "b" * 40
    assert world.status["handledReconcile"] == "1"
    asked = world.builder.questions
    world.look()
    assert world.builder.questions == asked
    world.annotate(reconcile="2")
    world.look()
    assert world.builder.questions == asked + 1


@pytest.mark.requirement("O-02")
def test_a_long_annotation_is_not_repeated_in_the_status_and_is_acted_on_once(world: World) -> None:
    world.build(world.apply())
    world.annotate(reconcile="x" * 200_000)
    world.look()
    assert len(world.status["handledReconcile"]) == 64
    asked = world.builder.questions
    world.look()
    assert world.builder.questions == asked


@pytest.mark.requirement("O-01")
def test_the_annotation_tries_a_failed_build_again_once(world: World) -> None:
    world.builder.error = failure("CompileFailed")
    uid = world.apply()
    world.build(uid)
    world.annotate(reconcile="again")
    world.build(uid)
    assert len(world.builder.requests) == 2
    assert world.status["build"]["attempts"] == 2
    world.look()
    world.restart()
    world.look()
    assert len(world.builder.requests) == 2


# --- policies


@pytest.mark.requirement("O-20")
def test_nothing_is_asked_or_built_from_a_source_that_a_policy_does_not_allow(world: World) -> None:
    world.cluster.add(POLICY, "sources", {"sources": {"allow": ["git:https://good.test/*"]}})
    world.apply()
    world.look()
    assert world.condition("SourceReady") == ("False", "SourceNotAllowed")
    assert world.condition("Stalled") == ("True", "SourceNotAllowed")
    assert (world.builder.questions, len(world.builder.requests)) == (0, 0)


@pytest.mark.requirement("O-20")
def test_what_was_made_from_a_source_that_is_not_allowed_any_more_is_taken_out_of_service(world: World) -> None:
    world.cluster.add(AGENT, "dev", {"servers": [{"name": "one"}]})
    uid = world.apply(tools={"changes": "Manual"})
    world.build(uid)
    world.cluster.add(POLICY, "sources", {"sources": {"allow": ["npm:*"]}})
    world.woken.clear()
    world.look()
    assert "image" not in world.status
    assert "stays in service" not in world.message("Ready")
    assert Key("MCPAgent", "team", "dev") in world.woken
    world.cluster.remove("toolpolicies", "sources", "")
    world.builder.tools = ("read", "delete")
    world.build(uid)
    assert world.condition("AwaitingApproval")[0] == "True"
    assert world.condition("Ready") == ("False", "ChangesHeld")
    world.builder.tools = ("read", "write")
    world.builder.commit = "b" * 40
    world.clock.forward(INTERVAL)
    world.build(uid)
    assert world.status["source"]["commit"] == "b" * 40
    assert world.condition("Ready") == ("True", "Succeeded")


@pytest.mark.requirement("O-20")
def test_a_policy_that_cannot_be_read_stops_what_is_new(world: World) -> None:
    world.cluster.add(POLICY, "sources", {"sources": {"allow": 7}})
    world.apply()
    world.look()
    assert world.condition("SourceReady") == ("False", "PolicyInvalid")
    assert world.builder.questions == 0
