"""Documented commands that the tests of the pages do not run, each with its reason.

A command that is neither here nor run by a test fails tests/docs/test_every_command_is_run.py.
"""

from __future__ import annotations

from dataclasses import dataclass

_DOCKER = "needs Docker and images of a registry; tools/check_deploy.py checks the files"
_SERVERS = (
    "needs PostgreSQL, S3, accounts: tests/services does it but for what docs/servers.md names"
)
CI = "a step of .ci/run"
CHECK = "a part of `make check`, a step of .ci/run"
_HARDWARE = "needs a GPU"
_HOURS = "takes hours; a person starts it before a release"
_BENCHMARK = "measures for minutes to hours; tests/benchmarks runs the code with tiny sizes"
_INSTALLS = "needs a package index; tools/check_wheel.py installs the package and its extras"


@dataclass(frozen=True)
class Block:
    """A block of a page by its first line; ``lines`` is its length, so that no line slips in."""

    page: str
    first: str
    lines: int
    reason: str

    def is_of(self, block: str) -> bool:
        """Return whether this entry is that of ``block``, a block of its page."""
        return block.startswith(self.first) and len(block.splitlines()) == self.lines


BLOCKS = (
    Block(
        "CONTRIBUTING.md",
        "git clone ... thaw && cd thaw",
        3,
        "`make check` and `make test` are steps of .ci/run",
    ),
    Block(
        "README.md",
        "make run ",
        2,
        "test_documented_commands.py runs the first one's commands; the other is a step of .ci/run",
    ),
    Block(
        "docs/index.md", "pip install thaw-vision", 5, "the commands of the README's first block"
    ),
    Block("docs/deployment.md", "pip wheel --no-deps --wheel-dir dist .", 5, _DOCKER),
    Block("docs/deployment.md", "pip wheel --no-deps --wheel-dir dist . ", 4, _DOCKER),
    Block(
        "docs/deployment.md",
        "export MLFLOW_TRACKING_URI=http://127.0.0.1:5000 ",
        5,
        "needs Caddy and names of hosts: tests/services/test_proxy.py",
    ),
    Block("docs/deployment.md", "for name in mlflow mlflow_accounts studies; do", 4, _DOCKER),
    Block("docs/deployment.md", "docker compose up --detach postgres s3 bucket", 6, _DOCKER),
    Block("docs/deployment.md", "docker compose stop mlflow ", 5, _DOCKER),
    Block("docs/deployment.md", "deploy/machine.sh 0 2 10.0.0.1 4", 2, "needs two machines"),
    Block("docs/servers.md", "pip install 'mlflow[auth]'", 21, _SERVERS),
    Block(
        "docs/servers.md",
        "export AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=... AWS_ENDPOINT_URL=http://127.0.0.1:8333",
        9,
        "needs SeaweedFS; tests/tools/test_check_deploy.py runs that of Compose with a stand-in",
    ),
    Block("docs/servers.md", "grant() {", 6, _SERVERS),
    Block("docs/servers.md", "export MLFLOW_TRACKING_URI=https://mlflow.example.org", 10, _SERVERS),
    Block("docs/servers.md", "createdb --owner thaw studies", 6, _SERVERS),
    Block("docs/serving.md", "pip wheel --no-deps -w wheels CLONE", 3, _INSTALLS),
)
PYTHON_BLOCKS = {
    ("docs/deployment.md", "from mlflow import MlflowClient"): (
        "needs a server with webhooks: tests/services/test_webhooks.py"
    ),
}
# Lines of blocks that are run otherwise.
LINES = {"pip install ": _INSTALLS}
# Commands in sentences: the whole command, or its first words.
SENTENCES = {
    "OMP_NUM_THREADS=1 pytest ": "the suite itself",
    "MLFLOW_TRACKING_URI=https://": _SERVERS,
    "THAW_STARTER=$PPID exec thaw stage": "what DVC prints; each `dvc repro` runs it",
    "caddy validate": "tools/check_deploy.py runs it",
    "curl --data-binary": "half a command, whose other half is in docs/serving.md",
    "docker ": _DOCKER,
    "dvc artifacts get": "needs a remote: tests/services/test_data_on_s3.py runs it",
    "dvc queue start": "works in the background; `dvc exp run --run-all` is run instead",
    "git rm -r --cached reports": "repairs a project of an earlier version: tests/projects",
    "hf auth login": "needs an account of the hub",
    "kubectl ": "needs a cluster; tools/check_deploy.py checks the files",
    "make bench": _BENCHMARK,
    "make bench-gpu": _BENCHMARK,
    "make check": CI,
    "make check-deploy": CI,
    "make docs": CI,
    "make run": "test_documented_commands.py runs its commands",
    "make soak": _HOURS,
    "make test": CI,
    "make test-browser": CI,
    "make test-docs": CI,
    "make test-gpu": _HARDWARE,
    "make test-pipelines": CI,
    "make test-services": CI,
    "make test-wheel": CI,
    "make ui": "does not end; the guides run its command, `thaw ui`",
    "mlflow db upgrade": _DOCKER,
    "mlflow gc": "deletes for good; a command for the administrator of a server",
    "pip ": _INSTALLS,
    "pytest ": "tests: the CI runs all of them",
    "python -m tools.check_language": CHECK,
    "python -m tools.check_structure": CHECK,
    "sbatch ": "needs SLURM; tests/tools/test_check_deploy.py runs the scripts with a stand-in",
    "source .venv/bin/activate": "needs a new environment; tools/check_wheel.py makes one",
    "thaw COMMAND --help": "tests/cli reads the help of each command",
    "thaw advise --backbones timm/": "needs weights of another backbone; tests/advice",
}


def is_sentence_listed(command: str) -> bool:
    """Return whether ``command``, or its first words, are in the list.

    An entry ends where a word ends: "make check" is no reason for "make check-all". One that ends
    with "=", "/", ":" or "." stands for all words that begin so.
    """
    return any(
        command == entry
        or command.startswith(entry if entry.endswith((" ", "=", "/", ":", ".")) else f"{entry} ")
        for entry in SENTENCES
    )


def is_listed(page: str, block: str) -> bool:
    """Return whether a block of ``page`` is in the list."""
    return any(each.page == page and each.is_of(block) for each in BLOCKS)
