"""The certificates of shared servers: an authority of the operator's own, and a leaf for each server. Pure.

Agents trust this authority for shared servers and nothing else. A new authority is trusted for a while before it signs
anything, and an old one until its last leaf has been replaced, so renewing either loses no connection.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

AUTHORITY_DAYS: Final = 3650
AUTHORITY_RENEWAL_DAYS: Final = 365
"""Days before its end from which on there is a next authority."""
INTRODUCTION: Final = dt.timedelta(days=1)
"""For which a new authority is trusted before it signs: every Pod has read it by then."""
LEAF_DAYS: Final = 90
LEAF_RENEWAL_DAYS: Final = 30
"""Days before its end from which on a leaf is made anew; toolman reads it again by itself."""
SKEW: Final = dt.timedelta(minutes=5)
"""Clocks of other machines may be behind by this much."""

CERTIFICATE: Final = "tls.crt"
KEY: Final = "tls.key"
NEXT_CERTIFICATE: Final = "next.crt"
NEXT_KEY: Final = "next.key"
PREVIOUS: Final = "previous.crt"
"""Keys of the authority's Secret; those of a leaf's are the first two."""


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, in PEM. Never shows the key."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        """Show nothing."""
        return "Pair()"


class UnusableError(Exception):
    """What is stored is no certificate, or does not fit its key; it is made anew."""


def authority(stored: Mapping[str, bytes], now: dt.datetime) -> dict[str, bytes]:
    """Give what the authority's Secret should hold now; what it holds, where nothing is due.

    Args:
        stored: What it holds; empty when there is none yet.
        now: UTC.
    """
    try:
        current = _load(stored[CERTIFICATE], stored[KEY])
    except (KeyError, UnusableError):
        made = _new_authority(now)
        return {CERTIFICATE: made.certificate, KEY: made.key}
    kept = {key: stored[key] for key in (CERTIFICATE, KEY, NEXT_CERTIFICATE, NEXT_KEY, PREVIOUS) if key in stored}
    if NEXT_CERTIFICATE in kept and _is_introduced(kept, now):
        return {CERTIFICATE: kept[NEXT_CERTIFICATE], KEY: kept[NEXT_KEY], PREVIOUS: kept[CERTIFICATE]}
    if NEXT_CERTIFICATE not in kept and current.not_valid_after_utc - now < dt.timedelta(days=AUTHORITY_RENEWAL_DAYS):
        following = _new_authority(now)
        kept |= {NEXT_CERTIFICATE: following.certificate, NEXT_KEY: following.key}
    if PREVIOUS in kept and x509.load_pem_x509_certificate(kept[PREVIOUS]).not_valid_after_utc < now:
        del kept[PREVIOUS]
    return kept


def bundle(stored: Mapping[str, bytes]) -> str:
    """Give the certificates that agents are to trust, from the authority's Secret."""
    found = [stored[key] for key in (CERTIFICATE, NEXT_CERTIFICATE, PREVIOUS) if key in stored]
    return "".join(each.decode().strip() + "\n" for each in found)


def leaf(stored: Mapping[str, bytes], signer: Mapping[str, bytes], hosts: Sequence[str], now: dt.datetime) -> Pair:
    """Give a server's certificate: the stored one while it is good, otherwise another.

    Args:
        stored: What the server's Secret holds.
        signer: What the authority's Secret holds.
        hosts: DNS names.
        now: UTC.
    """
    issuer = x509.load_pem_x509_certificate(signer[CERTIFICATE])
    try:
        current = _load(stored[CERTIFICATE], stored[KEY])
        names = current.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        is_fresh = current.not_valid_after_utc - now > dt.timedelta(days=LEAF_RENEWAL_DAYS)
        current.verify_directly_issued_by(issuer)
        if is_fresh and names.get_values_for_type(x509.DNSName) == list(hosts):
            return Pair(stored[CERTIFICATE], stored[KEY])
    except (KeyError, ValueError, TypeError, UnusableError, x509.ExtensionNotFound, InvalidSignature):
        pass  # absent, somebody else's, or of an authority that is gone
    return _new_leaf(Pair(signer[CERTIFICATE], signer[KEY]), hosts, now)


def _is_introduced(stored: Mapping[str, bytes], now: dt.datetime) -> bool:
    try:
        following = _load(stored[NEXT_CERTIFICATE], stored[NEXT_KEY])
    except (KeyError, UnusableError):
        return False
    return following.not_valid_before_utc + SKEW + INTRODUCTION < now


def _load(certificate: bytes, key: bytes) -> x509.Certificate:
    try:
        found = x509.load_pem_x509_certificate(certificate)
        private = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError) as error:
        raise UnusableError("not a certificate and its key") from error
    encoding = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if found.public_key().public_bytes(*encoding) != private.public_key().public_bytes(*encoding):
        raise UnusableError("the key is not the certificate's")
    return found


def _new_authority(now: dt.datetime) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"mcp-operator shared servers {now:%Y-%m-%d}")])
    uses = _uses(signs=True)
    builder = (
        _builder(name, name, key.public_key(), now, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(uses, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _pair(builder.sign(key, hashes.SHA256()), key)


def _new_leaf(signer: Pair, hosts: Sequence[str], now: dt.datetime) -> Pair:
    issuer = x509.load_pem_x509_certificate(signer.certificate)
    issuer_key = serialization.load_pem_private_key(signer.key, None)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        raise UnusableError("the authority's key is not one that was made here")
    key = ec.generate_private_key(ec.SECP256R1())
    # The subject stays empty: names of people's choice may be longer than a common name, and nobody reads it.
    builder = (
        _builder(x509.Name([]), issuer.subject, key.public_key(), now, LEAF_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_uses(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
    return _pair(builder.sign(issuer_key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: dt.datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + dt.timedelta(days=days))
    )


def _uses(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), private)
