from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography.fernet import Fernet
from ruamel.yaml import YAML

from tests.settings import PARAMS
from thaw.system.process_group import process_group
from tools import check_deploy

if TYPE_CHECKING:
    from pathlib import Path

DEPLOY = check_deploy.DEPLOY


def test_each_file_is_checked_by_a_validator() -> None:
    checked = {argument for command in check_deploy.commands(DEPLOY) for argument in command}
    others = {"README.md", "example.env", "receiver.py", "Dockerfile.dockerignore"}
    others |= {"databases.sql", "accounts.ini"}
    others |= {"thaw-serve.conf"}  # nginx needs certificates: tests/services/test_proxy.py
    files = [path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert {path.name for path in files if str(path) not in checked} <= others


def test_the_example_names_each_variable_of_the_compose_file() -> None:
    text = (DEPLOY / "compose/compose.yaml").read_text()
    used = set(re.findall(r"\$\{([A-Z0-9_]+)", text))
    lines = (DEPLOY / "compose/example.env").read_text().splitlines()
    assert used == {line.split("=")[0] for line in lines if "=" in line and line[0] != "#"}


@pytest.mark.parametrize(
    "name", ["MLFLOW_FLASK_SERVER_SECRET_KEY", "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"]
)
def test_a_key_that_each_start_of_mlflow_would_make_comes_from_the_environment(name: str) -> None:
    services = YAML(typ="safe").load((DEPLOY / "compose/compose.yaml").read_text())["services"]
    value = services["mlflow"]["environment"][name]
    assert re.fullmatch(r"\$\{[A-Z_]+:\?.+\}", value), "without it, nothing starts"


def test_texts_for_containers_are_files() -> None:
    # Compose refuses texts: it would copy them into the container, whose root is read-only.
    configs = YAML(typ="safe").load((DEPLOY / "compose/compose.yaml").read_text())["configs"]
    assert configs
    for name, config in configs.items():
        assert list(config) == ["file"], name
        assert (DEPLOY / "compose" / config["file"]).is_file(), name


def test_the_database_is_healthy_only_when_it_answers_by_tcp() -> None:
    # While its databases are created, a server without TCP answers, which then ends.
    services = YAML(typ="safe").load((DEPLOY / "compose/compose.yaml").read_text())["services"]
    command = services["postgres"]["healthcheck"]["test"]
    assert command[command.index("--host") + 1] == "127.0.0.1"


def test_the_object_store_gets_its_keys_from_the_environment(tmp_path: Path) -> None:
    services = YAML(typ="safe").load((DEPLOY / "compose/compose.yaml").read_text())["services"]
    server = tmp_path / "weed"
    server.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/options\n')
    server.chmod(0o755)
    (script,) = services["s3"]["command"]
    script = script.replace("$$", "$").replace("/tmp/s3.json", f"{tmp_path}/s3.json")
    keys = {"AWS_ACCESS_KEY_ID": "name", "AWS_SECRET_ACCESS_KEY": "secret"}
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    command = [*services["s3"]["entrypoint"], script]
    subprocess.run(command, env={"PATH": path, **keys}, check=True)
    (identity,) = json.loads((tmp_path / "s3.json").read_text())["identities"]
    assert identity["credentials"] == [{"accessKey": "name", "secretKey": "secret"}]
    assert f"-s3.config={tmp_path}/s3.json" in (tmp_path / "options").read_text().split()
    assert keys.keys() <= services["s3"]["environment"].keys()


@pytest.mark.slow  # imports MLflow's server
def test_mlflow_accepts_changes_from_its_own_pages_behind_the_proxy() -> None:
    from mlflow.server.security_utils import should_block_cors_request

    services = YAML(typ="safe").load((DEPLOY / "compose/compose.yaml").read_text())["services"]
    options = dict(
        option.removeprefix("--").split("=", 1) for option in services["mlflow"]["command"]
    )
    given = re.sub(
        r"\$\{MLFLOW_DOMAIN[^}]*\}", "mlflow.example.org", options["cors-allowed-origins"]
    )
    for origin, is_blocked in (
        ("https://mlflow.example.org", False),
        ("https://elsewhere.example.org", True),
    ):
        assert should_block_cors_request(origin, "POST", given.split(",")) is is_blocked


def test_mlflow_and_the_proxy_alone_reach_other_hosts() -> None:
    compose = YAML(typ="safe").load((DEPLOY / "compose/compose.yaml").read_text())
    networks = compose["networks"]
    assert networks["inside"]["internal"] is True
    reaching = {
        name
        for name, service in compose["services"].items()
        if any(not networks[network].get("internal") for network in service["networks"])
    }
    assert reaching == {"mlflow", "proxy"}, "mlflow calls webhooks"


def test_the_command_of_the_example_makes_a_key_that_mlflow_takes() -> None:
    lines = (DEPLOY / "compose/example.env").read_text().splitlines()
    comment = lines[lines.index("MLFLOW_WEBHOOK_KEY=replace-me") - 1]
    command = comment.rsplit(": ", 1)[1]
    for _ in range(20):  # most keys have a character that `tr` replaces
        made = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
        cipher = Fernet(made.stdout.strip())
        assert cipher.decrypt(cipher.encrypt(b"secret")) == b"secret"


def test_no_container_may_write_to_its_root_or_gain_rights() -> None:
    services = YAML(typ="safe").load((DEPLOY / "compose/compose.yaml").read_text())["services"]
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
    assert [name for name, service in services.items() if "ports" in service] == ["proxy"]


@pytest.mark.parametrize(
    "path", sorted((DEPLOY / "kubernetes").glob("*.yaml")), ids=lambda p: p.name
)
def test_pods_run_without_root_rights_on_a_read_only_root(path: Path) -> None:
    pods = [
        document["spec"]["template"]["spec"]
        for document in YAML(typ="safe").load_all(path.read_text())
        if "template" in document["spec"]
    ]
    assert pods
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["enableServiceLinks"] is False, "a Service called mlflow sets MLFLOW_PORT"
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["allowPrivilegeEscalation"] is False


def test_images_do_not_run_as_root() -> None:
    text = (DEPLOY / "containers/Dockerfile").read_text()
    targets = re.split(r"^FROM .* AS ", text, flags=re.MULTILINE)[1:]
    users = {part.split()[0]: re.findall(r"^USER (\S+)", part, re.MULTILINE) for part in targets}
    assert users == {
        "packages": [],
        "base": [],
        "train": ["10001"],
        "serve": ["10001"],
        "mlflow": ["10001"],
    }


def stand_in(folder: Path, name: str, script: str) -> None:
    """Write a program ``name`` that runs ``script``."""
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, str]:
    """Variables with stand-ins for a cluster of two nodes; dvc and thaw record their calls.

    The file of Accelerate's of each process that runs is kept in ``machines``.
    """
    programs = tmp_path / "venv" / "bin"
    programs.mkdir(parents=True)
    (tmp_path / "machines").mkdir()
    (programs / "activate").write_text(f'PATH="{programs}:$PATH"\n')
    kept = f'cp "$THAW_MACHINE" "{tmp_path}/machines/${{THAW_MACHINE##*/}}"'
    for name in ("dvc", "thaw"):
        stand_in(programs, name, f'echo {name} "$@" >> {tmp_path}/calls\nsleep 0.1\n{kept}')
    # The second line comes when a program that reads only the first one has ended.
    stand_in(programs, "scontrol", "echo node1; sleep 0.2; echo node2")
    stand_in(
        programs,
        "srun",
        'shift\nfor rank in 0 1; do SLURM_PROCID=$rank "$@" & all="$all $!"; done\n'
        "for one in $all; do wait $one || exit 1; done",
    )
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    slurm = {"SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "node[1-2]"}
    return {**os.environ, "PATH": path, "THAW_VENV": str(programs.parent), **slurm}


@pytest.mark.slow
def test_the_script_of_a_machine_writes_a_configuration_that_stages_accept(
    cluster: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = PARAMS.launch.model_copy(update={"processes": "auto", "config": "$THAW_MACHINE"})
    for rank in ("0", "1"):
        command = ["sh", str(DEPLOY / "machine.sh"), rank, "2", "10.0.0.1", "4"]
        subprocess.run(command, env=cluster, check=True)
        (written,) = (tmp_path / "machines").glob(f"thaw-machine-{rank}-*")
        monkeypatch.setenv("THAW_MACHINE", str(written))
        group = process_group(launch)
        assert (group.processes, group.machines) == (8, 2)
    stages = ["warmup_head", "unfreeze", "fold_bn", "evaluate"]
    assert (tmp_path / "calls").read_text().splitlines() == [
        "dvc repro prepare",
        *(f"dvc repro --single-item --force {stage}" for stage in stages),
        *(f"thaw stage {stage}" for stage in stages),
    ]


@pytest.mark.slow
def test_two_jobs_of_slurm_on_the_same_nodes_share_no_file_and_no_port(
    cluster: dict[str, str], tmp_path: Path
) -> None:
    at_nodes = {**cluster, "TMPDIR": str(tmp_path), "MACHINE_SCRIPT": str(DEPLOY / "machine.sh")}
    script = str(DEPLOY / "slurm" / "train-many.sbatch")
    jobs = [
        subprocess.Popen(["bash", script], env={**at_nodes, "SLURM_JOB_ID": number})
        for number in ("4711", "4712")
    ]
    assert [job.wait(60) for job in jobs] == [0, 0]
    files = [YAML(typ="safe").load(path) for path in (tmp_path / "machines").iterdir()]
    assert sorted((file["main_process_port"], file["machine_rank"]) for file in files) == [
        (port, rank) for port in (19711, 19712) for rank in (0, 1)
    ]
    assert {file["main_process_ip"] for file in files} == {"node1"}
    assert list(tmp_path.glob("thaw-machine-*")) == []


def test_two_searches_of_slurm_on_a_node_work_in_copies_of_their_own(
    cluster: dict[str, str], tmp_path: Path
) -> None:
    project = tmp_path / "project"
    (project / "data").mkdir(parents=True)
    (project / "data" / "image").touch()
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    for command in (("init",), (*identity, "commit", "--allow-empty", "--message", "first")):
        subprocess.run(["git", *command], cwd=project, check=True, capture_output=True)
    stand_in(tmp_path / "venv" / "bin", "thaw", f'ls data; echo "$PWD $@" >> {tmp_path}/calls')
    script = str(DEPLOY / "slurm" / "search.sbatch")
    jobs = [
        subprocess.Popen(
            ["bash", script],
            cwd=project,
            env={**cluster, "TMPDIR": str(tmp_path), "SLURM_JOB_ID": number, "TRIALS": "3"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in ("4711", "4712")
    ]
    assert [job.communicate(timeout=60)[0] for job in jobs] == ["image\n"] * 2
    assert sorted((tmp_path / "calls").read_text().splitlines()) == [
        f"{tmp_path}/thaw-search-{number} search --trials 3 --workers 1" for number in (4711, 4712)
    ]
    assert list(tmp_path.glob("thaw-search-*")) == []


def test_a_broken_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken.sh"
    broken.write_text("if\n")
    monkeypatch.setattr(check_deploy, "commands", lambda _: [["bash", "-n", str(broken)]])
    assert check_deploy.main() == 1


@pytest.mark.parametrize(
    ("name", "advice"),
    [("shellcheck", "shellcheck is not installed"), ("hadolint", "pip install -e '.[deploy]'")],
)
def test_a_missing_validator_is_a_failure_that_says_what_to_install(
    name: str,
    advice: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no apt-get either
    monkeypatch.setattr(check_deploy, "commands", lambda _: [[name, "file"]])
    assert check_deploy.main() == 1
    output = capsys.readouterr()
    assert advice in output.err
    assert "problems were found" in output.out
