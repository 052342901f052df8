"""The webhooks' certificate, and what the API server is told of it."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from cryptography import x509
from fake_builder import FakeClock
from fake_cluster import FakeCluster
from injection_world import Registered
from mcp_operator import certificates, names
from mcp_operator.admission.credentials import Credentials
from mcp_operator.own_secrets import Authority, ReportTokens

pytestmark = pytest.mark.requirement("O-15")

HOST = "mcp-operator-webhooks.mcp-system.svc"


class World:
    """Replicas of one operator."""

    def __init__(self, registered: Registered | None = None) -> None:
        self.cluster = FakeCluster()
        self.clock = FakeClock()
        self.registered = registered or Registered()
        self.one, self.other = self.replica(), self.replica()

    def replica(self) -> Credentials:
        tokens = ReportTokens(self.cluster, "mcp-system")
        authority = Authority(self.cluster, "mcp-system", self.clock)
        return Credentials(self.registered, authority, tokens, [HOST], self.clock)

    def bundle(self) -> bytes:
        return base64.b64decode(self.registered.client("Mutating", 0)["caBundle"])


@pytest.fixture
def world() -> World:
    return World()


def test_the_certificate_is_for_the_service_and_signed_by_what_the_api_server_is_told_to_trust(world: World) -> None:
    pair = world.one.renew()
    world.one.tell()
    leaf = x509.load_pem_x509_certificate(pair.certificate)
    assert leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
        x509.DNSName
    ) == [HOST]
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(world.bundle()))


def test_each_webhook_is_told_its_path_and_those_of_others_nothing(world: World) -> None:
    world.one.renew()
    world.one.tell()
    assert world.registered.client("Mutating", 0)["service"]["path"].endswith("/inject")
    assert world.registered.client("Mutating", 0)["service"]["port"] == 443
    assert world.registered.client("Validating", 0)["service"]["path"].endswith("/keep")
    assert world.registered.client("Validating", 1)["service"]["path"].endswith("/warn")
    assert "caBundle" not in world.registered.client("Mutating", 1)


def test_all_replicas_tell_the_same_and_nothing_is_written_twice(world: World) -> None:
    world.one.renew()
    world.one.tell()
    world.registered.writes.clear()
    assert world.other.renew() != world.one.renew(), "each has a key of its own"
    world.other.tell()
    world.one.tell()
    assert world.registered.writes == []


def test_only_who_knows_the_token_finds_a_webhook(world: World) -> None:
    world.one.renew()
    world.one.tell()
    path = world.registered.client("Mutating", 0)["service"]["path"]
    assert world.one.webhook(path) == world.other.webhook(path) == names.WEBHOOK_INJECT
    assert world.one.webhook("/inject") == world.one.webhook(path + "x") == world.one.webhook("/é") == ""


def test_an_address_instead_of_a_service_keeps_its_host() -> None:
    world = World(Registered(url="https://localhost:9443/anything"))
    world.one.renew()
    world.one.tell()
    url = world.registered.client("Mutating", 0)["url"]
    assert url.startswith("https://localhost:9443/")
    assert url.endswith("/inject")
    assert world.one.webhook(url.removeprefix("https://localhost:9443")) == names.WEBHOOK_INJECT


def test_a_certificate_is_renewed_before_its_end(world: World) -> None:
    first = world.one.renew()
    assert world.one.renew() == first
    world.clock.forward(timedelta(days=certificates.LEAF_DAYS - certificates.LEAF_RENEWAL_DAYS + 1).total_seconds())
    assert world.one.renew() != first


def test_another_authority_is_trusted_before_it_signs(world: World) -> None:
    world.one.renew()
    world.one.tell()
    world.clock.forward(
        timedelta(days=certificates.AUTHORITY_DAYS - certificates.AUTHORITY_RENEWAL_DAYS + 1).total_seconds()
    )
    pair = world.one.renew()
    world.one.tell()
    old, following = x509.load_pem_x509_certificates(world.bundle())
    x509.load_pem_x509_certificate(pair.certificate).verify_directly_issued_by(old)
    world.clock.forward(timedelta(days=2).total_seconds())
    after = world.one.renew()
    x509.load_pem_x509_certificate(after.certificate).verify_directly_issued_by(following)


def test_where_an_admin_has_installed_no_webhooks_nothing_is_written(world: World) -> None:
    world.registered.stored.clear()
    world.one.renew()
    world.one.tell()
    assert world.registered.writes == []
