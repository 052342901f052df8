"""Why a build can fail: every value of ``BuildError.reason``. They become reasons of conditions."""

from __future__ import annotations

import enum


class Reason(enum.StrEnum):
    """One each for what a person would do something different about."""

    # --- any step
    TIMED_OUT = "TimedOut"
    INVALID_SOURCE = "InvalidSource"

    # --- Fetch
    PROTOCOL_NOT_ALLOWED = "ProtocolNotAllowed"
    HOST_UNKNOWN = "HostUnknown"
    HOST_UNREACHABLE = "HostUnreachable"
    CERTIFICATE_UNTRUSTED = "CertificateUntrusted"
    AUTHENTICATION_REQUIRED = "AuthenticationRequired"
    REPOSITORY_NOT_FOUND = "RepositoryNotFound"
    REPOSITORY_EMPTY = "RepositoryEmpty"
    REF_NOT_FOUND = "RefNotFound"
    PATH_NOT_FOUND = "PathNotFound"
    SOURCE_TOO_LARGE = "SourceTooLarge"
    SOURCE_UNSAFE = "SourceUnsafe"
    FETCH_FAILED = "FetchFailed"

    # --- Detect
    NOTHING_DETECTED = "NothingDetected"
    NOT_AN_MCP_SERVER = "NotAnMCPServer"
    SEVERAL_SERVERS = "SeveralServers"
    NO_START_COMMAND = "NoStartCommand"
    AMBIGUOUS_START_COMMAND = "AmbiguousStartCommand"
    INVALID_MANIFEST = "InvalidManifest"
    UNSUPPORTED = "Unsupported"
    RUNTIME_VERSION = "RuntimeVersion"

    # --- the engine, in any later step
    ENGINE_UNAVAILABLE = "EngineUnavailable"
    ENGINE_PERMISSION = "EnginePermission"
    ENGINE_TOO_OLD = "EngineTooOld"
    ENGINE_FAILED = "EngineFailed"
    DISK_FULL = "DiskFull"
    BASE_IMAGE_UNAVAILABLE = "BaseImageUnavailable"

    # --- Build
    DOCKER_BUILD_FAILED = "DockerBuildFailed"
    DEPENDENCY_FAILED = "DependencyFailed"
    COMPILE_FAILED = "CompileFailed"
    NETWORK_FAILED = "NetworkFailed"
    OUT_OF_MEMORY = "OutOfMemory"
    SYSTEM_PACKAGE_MISSING = "SystemPackageMissing"
    BUILD_LIMIT = "BuildLimit"

    # --- Verify
    HANDSHAKE_FAILED = "HandshakeFailed"
    SETTING_MISSING = "SettingMissing"
    STARTED_HTTP = "StartedHTTP"

    # --- Push
    REGISTRY_UNREACHABLE = "RegistryUnreachable"
    REGISTRY_AUTHENTICATION = "RegistryAuthentication"
    IMAGE_PUSH_FAILED = "ImagePushFailed"
