"""Documented commands that the tests of the pages do not run, each with its reason.

A command that is neither here nor run by a test fails tests/docs/test_every_command_is_run.py.
"""

from __future__ import annotations

from dataclasses import dataclass

_DOCKER = "needs Docker and images of a registry; tools/check_deploy.py checks the files"
_SERVERS = (
    "needs PostgreSQL, S3, accounts: tests/services does it but for what docs/servers.md names"
)
_MAKE = "a target of the Makefile, which a test starts in full: the CI runs it as its own step"
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
    Block("CONTRIBUTING.md", "git clone ... thaw && cd thaw", 3, _MAKE),
    Block("README.md", "make run ", 2, _MAKE),
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
# Commands in sentences, by their start.
SENTENCES = {
    "... ": "options of the command above it, which is run",
    "OMP_NUM_THREADS=1 pytest ": "the suite itself",
    "MLFLOW_TRACKING_URI=https://": _SERVERS,
    "THAW_STARTER=$PPID exec thaw stage": "what DVC prints; each `dvc repro` runs it",
    "accelerate config": "asks questions in a terminal",
    "caddy validate": "tools/check_deploy.py runs it",
    "curl --data-binary": "half a command, whose other half is in docs/serving.md",
    "docker ": _DOCKER,
    "dvc add": "named as what a message or a reader may choose; no step of a guide",
    "dvc artifacts get": "needs a remote: tests/services/test_data_on_s3.py runs it",
    "dvc queue start": "works in the background; `dvc exp run --run-all` is run instead",
    "git rm -r --cached reports": "repairs a project of an earlier version: tests/projects",
    "hf auth login": "needs an account of the hub",
    "kubectl ": "needs a cluster; tools/check_deploy.py checks the files",
    "make bench": _BENCHMARK,
    "make ": _MAKE,
    "mlflow db upgrade": _DOCKER,
    "mlflow gc": "deletes for good; a command for the administrator of a server",
    "openssl ": "a program of others; tests/promotion reads such a key",
    "optuna-dashboard ": "needs the extra `dashboard`",
    "pip ": _INSTALLS,
    "pytest ": "tests: the CI runs all of them",
    "python -m benchmarks.": _BENCHMARK,
    "python -m tools.": _MAKE,
    "sbatch ": "needs SLURM; tests/tools/test_check_deploy.py runs the scripts with a stand-in",
    "source .venv/bin/activate": "needs a new environment; tools/check_wheel.py makes one",
    "thaw --install-completion": "changes the files of a user's shell",
    "thaw COMMAND --help": "tests/cli reads the help of each command",
    "thaw advise --backbones timm/": "needs weights of another backbone; tests/advice",
}


def is_listed(page: str, block: str) -> bool:
    """Return whether a block of ``page`` is in the list."""
    return any(each.page == page and each.is_of(block) for each in BLOCKS)
