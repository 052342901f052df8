"""Why a build can fail: every value of ``BuildError.reason``. They become reasons of conditions."""

from __future__ import annotations

import enum


class Reason(enum.StrEnum):
    """One each for what a person would do something different about."""

    # --- any step
    TIMED_OUT = "TimedOut"
    """The time of `spec.build.timeout` is used up, or a host did not answer in time."""
    INVALID_SOURCE = "InvalidSource"
    """The source cannot be meant as it is written: URL, package name or credentials that do not fit."""

    # --- Fetch
    PROTOCOL_NOT_ALLOWED = "ProtocolNotAllowed"
    """The installation does not fetch by this URL's protocol."""
    HOST_UNKNOWN = "HostUnknown"
    """The host's name has no address."""
    HOST_UNREACHABLE = "HostUnreachable"
    """The host does not answer; it is asked again by itself."""
    CERTIFICATE_UNTRUSTED = "CertificateUntrusted"
    """The host's certificate is not from an authority that is trusted."""
    AUTHENTICATION_REQUIRED = "AuthenticationRequired"
    """The host asks for credentials, or does not accept those of `secretRef`."""
    REPOSITORY_NOT_FOUND = "RepositoryNotFound"
    """There is no such repository, or it is private."""
    REPOSITORY_EMPTY = "RepositoryEmpty"
    """The repository has no commit."""
    REF_NOT_FOUND = "RefNotFound"
    """There is no such branch, tag, commit, version or package."""
    PATH_NOT_FOUND = "PathNotFound"
    """The source has no such folder or file."""
    SOURCE_TOO_LARGE = "SourceTooLarge"
    """The source has more bytes or files than are taken."""
    SOURCE_UNSAFE = "SourceUnsafe"
    """The source holds what would reach outside of it, or is not what was announced."""
    FETCH_FAILED = "FetchFailed"
    """The source could not be fetched, for a reason of its own."""

    # --- Detect
    NOTHING_DETECTED = "NothingDetected"
    """No language was recognised in the source."""
    NOT_AN_MCP_SERVER = "NotAnMCPServer"
    """The source was recognised, and nothing in it uses MCP."""
    SEVERAL_SERVERS = "SeveralServers"
    """The source holds several servers; `path` says which."""
    NO_START_COMMAND = "NoStartCommand"
    """Nothing says how the server is started; `spec.build.command` can."""
    AMBIGUOUS_START_COMMAND = "AmbiguousStartCommand"
    """Several things could be started; `spec.build.command` says which."""
    INVALID_MANIFEST = "InvalidManifest"
    """A file that describes the package cannot be read."""
    UNSUPPORTED = "Unsupported"
    """The source needs something that is not built here."""
    RUNTIME_VERSION = "RuntimeVersion"
    """No base image has the version of the language that the source asks for."""

    # --- the engine, in any later step
    ENGINE_UNAVAILABLE = "EngineUnavailable"
    """The container engine does not answer; it is tried again by itself."""
    ENGINE_PERMISSION = "EnginePermission"
    """The operator may not use the container engine."""
    ENGINE_TOO_OLD = "EngineTooOld"
    """The container engine is older than what can be worked with."""
    ENGINE_FAILED = "EngineFailed"
    """The container engine failed, for a reason of its own."""
    DISK_FULL = "DiskFull"
    """The container engine has no room left."""
    BASE_IMAGE_UNAVAILABLE = "BaseImageUnavailable"
    """A base image cannot be pulled."""

    # --- Build
    DOCKER_BUILD_FAILED = "DockerBuildFailed"
    """An instruction of the Dockerfile failed, for a reason of its own."""
    DEPENDENCY_FAILED = "DependencyFailed"
    """A dependency could not be installed."""
    COMPILE_FAILED = "CompileFailed"
    """The source does not compile."""
    NETWORK_FAILED = "NetworkFailed"
    """A build step could not reach what it downloads; it is tried again by itself."""
    OUT_OF_MEMORY = "OutOfMemory"
    """A build step or the server needs more memory than it may have."""
    SYSTEM_PACKAGE_MISSING = "SystemPackageMissing"
    """A program or library is missing; `spec.build.systemPackages` can name its package."""
    BUILD_LIMIT = "BuildLimit"
    """The build went over a limit."""

    # --- Verify
    HANDSHAKE_FAILED = "HandshakeFailed"
    """The image was started and did not speak MCP."""
    SETTING_MISSING = "SettingMissing"
    """The server does not start without a variable or argument; `spec.run` can give it."""
    STARTED_HTTP = "StartedHTTP"
    """The server speaks HTTP and could not be reached."""

    # --- Push
    REGISTRY_UNREACHABLE = "RegistryUnreachable"
    """The registry does not answer; it is tried again by itself."""
    REGISTRY_AUTHENTICATION = "RegistryAuthentication"
    """The registry does not accept the credentials, or wants some."""
    IMAGE_PUSH_FAILED = "ImagePushFailed"
    """The registry refused the image."""
