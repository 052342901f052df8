"""From what was detected of a Go module to the steps that compile one static program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_operator.images.detect.candidate import APP
from mcp_operator.images.detect.golang import PROGRAM
from mcp_operator.images.recipes import compilers
from mcp_operator.images.recipes.recipe import NOTHING, Copy, Recipe, Run, Stage

if TYPE_CHECKING:
    from mcp_operator.images.detect.candidate import Candidate, GoFacts

_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
"""Small images have none, and almost every server calls something over https."""

VERSION = "1.25.5"
"""Of the compiler that is brought along where the base image has none. A module may ask for a newer one by itself."""
DIGESTS = {
    "amd64": "8cea6783dab64d68b38f5b81ecd38d45155a3c06638991acc6af19e0fca80edb",
    "arm64": "4d31d22f75fed99025f7b082319eabeb74106d11e343fc203b336ba2afdeb3a1",
}
_COMPILER = "/usr/local/go"
_INSTALL = (
    "import hashlib, io, os, platform, urllib.request, zipfile;"
    " kind = {'x86_64': 'amd64', 'aarch64': 'arm64'}[platform.machine()];"
    f" name = f'golang.org/toolchain@v0.0.1-go{VERSION}.linux-{{kind}}';"
    " url = 'https://proxy.golang.org/' + name.replace('@', '/@v/') + '.zip';"
    " data = urllib.request.urlopen(url, timeout=300).read();"
    f" assert hashlib.sha256(data).hexdigest() == {DIGESTS!r}[kind], 'not the compiler that was expected';"
    " zipfile.ZipFile(io.BytesIO(data)).extractall('/tmp');"
    f" os.rename('/tmp/' + name, '{_COMPILER}');"
    f" [os.chmod(os.path.join(folder, file), 0o755) for part in ('bin', 'pkg/tool')"
    f" for folder, _, files in os.walk('{_COMPILER}/' + part) for file in files]"
)
"""Go's own release, as the Go module proxy has it: not everybody who builds has the image with the compiler."""

_LATER = Run(NOTHING, why=("What others wrote is compiled with the server itself.",))


def recipe(candidate: Candidate, facts: GoFacts, base: str, final: str) -> Recipe:
    """Give the recipe.

    Args:
        candidate: What was detected.
        facts: The same, for Go.
        base: Image with the compiler; or one with Python in its name, into which the compiler is brought.
        final: Image in which the program runs.
    """
    bring = "python" in base
    build = ("go", "build", "-trimpath")
    first: tuple[Copy | Run, ...] = ()
    if facts.manifests:
        first = (Copy(facts.manifests), Run(("go", "mod", "download"), candidate.inner))
        if facts.imports:
            # What others wrote takes most of the time: compiled here it is not compiled again for a changed line.
            first = (*first, Run((*build, *facts.imports), candidate.inner, otherwise=(_LATER,)))
    program = (*build, "-ldflags=-s -w", "-o", f"{APP}/{PROGRAM}", facts.package)
    stage = Stage(
        base=base,
        tools=(Run(("python3", "-c", _INSTALL)),) if bring else (),
        packages=(*candidate.build_packages, *(("gcc", "libc6-dev") if bring and facts.cgo else ())),
        env={
            # A module may ask for a newer Go than the image has: it is a module like any other.
            "GOTOOLCHAIN": "auto",
            "GOFLAGS": "-buildvcs=false",
            "CGO_ENABLED": "1" if facts.cgo else "0",
            **({"PATH": f"{_COMPILER}/bin:$PATH"} if bring else {}),
        },
        steps=(*first, Copy(), Run(program, candidate.inner)),
        keep=(PROGRAM, _CERTIFICATES),
    )
    return Recipe(
        language="go",
        stages=(stage,),
        base=final,
        system_packages=compilers.without(candidate.system_packages),
        working_dir=APP,
        command=candidate.command,
    )
