"""docker-compose.yml, the Dockerfile and what they mount are kept true without a container engine."""

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import pika
import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft7Validator
from kombu.connection import Connection

from bridge.broker.topology import ROUTES
from bridge.cli import cli
from config.files import read_configuration
from config.settings import SETTINGS, read_settings
from consumers.steps import STEPS

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((Path(__file__).parent / "compose-spec.json").read_text())
OURS = "jembatan:local"
#: Used by docker-compose.yml itself, not by our processes.
OF_THE_HOST = {"FRONT_BIND"}


class _Strict(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML ships no types
    """YAML as Compose reads it: a key that stands twice is a mistake, not the last one's victory."""


def _mapping(loader: _Strict, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [key.value for key, _ in node.value if key.value != "<<"]
    twice = {key for key in keys if keys.count(key) > 1}
    if twice:
        raise yaml.constructor.ConstructorError(None, None, f"twice: {sorted(twice)}", node.start_mark)
    loader.flatten_mapping(node)
    made: dict[Any, Any] = loader.construct_mapping(node, deep=True)
    return made


_Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)

TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.load(TEXT, _Strict)  # noqa: S506 - a SafeLoader, only stricter
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OUR_SERVICES = {name: service for name, service in SERVICES.items() if service["image"] == OURS}
DOCKERFILE = (ROOT / "Dockerfile").read_text()
OPERATIONS = (ROOT / "docs/operations.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

each_service = pytest.mark.parametrize("name", SERVICES)
each_of_ours = pytest.mark.parametrize("name", OUR_SERVICES)


def source_variables() -> dict[str, set[str]]:
    """Return the variables config/sources.toml names: those that let reports in, and those for telling back."""
    tables = tomllib.loads((ROOT / "config/sources.toml").read_text()).values()
    return {
        "in": {table["secret"] for table in tables},
        "back": {table[key] for table in tables for key in ("callback_url", "callback_secret") if table.get(key)},
    }


def channel_variables() -> set[str]:
    """Return the variables config/channels.toml names."""
    tables = tomllib.loads((ROOT / "config/channels.toml").read_text()).values()
    return {table[key] for table in tables for key in ("url", "secret") if table.get(key)}


def faults(compose: dict[str, Any]) -> list[str]:
    """Return what the Compose Specification has against the file."""
    found = Draft7Validator(SCHEMA).iter_errors(compose)
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in found]


def megabytes(size: str) -> float:
    """Return a Compose size such as 160m or 1g in MB of 1024² bytes."""
    number, unit = re.fullmatch(r"(\d+)([kmg])", size).groups()  # type: ignore[union-attr]
    return int(number) * {"k": 1 / 1024, "m": 1, "g": 1024}[unit]


# --- the file itself ------------------------------------------------------------------------------------------------


def test_compose_file_keeps_the_compose_specification() -> None:
    assert faults(COMPOSE) == []


@pytest.mark.parametrize(
    "broken",
    [{"command": 7}, {"mem_limits": "1g"}, {"depends_on": {"x": {"condition": "ready"}}}, {"ports": [{"a": 1}]}],
)
def test_the_specification_check_can_fail(broken: dict[str, Any]) -> None:
    assert faults({"services": {"desk": {"image": "x"} | broken}})


def test_a_key_written_twice_is_refused() -> None:
    with pytest.raises(yaml.constructor.ConstructorError, match="twice"):
        yaml.load("desk: {image: a, image: b}", _Strict)  # noqa: S506


def test_images_have_a_version_and_no_registry_host() -> None:
    named = [service["image"] for service in SERVICES.values()] + re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    for image in named:
        name, _, tag = image.partition(":")
        assert tag not in ("", "latest"), image
        assert "." not in name.split("/")[0], image


def test_no_file_of_the_deployment_names_a_host_to_fetch_from() -> None:
    for path in ("Dockerfile", ".dockerignore", "docker-compose.yml"):
        hosts = {urlsplit(url).hostname for url in re.findall(r"https?://[^\s'\"]+", (ROOT / path).read_text())}
        assert hosts <= {"127.0.0.1"}, path


# --- commands -------------------------------------------------------------------------------------------------------


@each_of_ours
def test_command_is_one_bridge_knows(name: str) -> None:
    result = CliRunner().invoke(cli, [*SERVICES[name]["command"], "--help"])
    assert result.exit_code == 0, result.output


def test_a_command_bridge_does_not_know_would_be_noticed() -> None:
    assert CliRunner().invoke(cli, ["recieve", "--help"]).exit_code == 2


def steps_in_compose() -> list[str]:
    """Return the steps of `bridge work` that the services run."""
    return [step for service in OUR_SERVICES.values() for step in service["command"][1:]]


def test_every_step_runs_in_exactly_one_service() -> None:
    assert sorted(steps_in_compose()) == sorted(STEPS)


def test_every_queue_is_emptied() -> None:
    assert {route.step for route in ROUTES} <= set(steps_in_compose())


DOCUMENTED = re.findall(r"docker compose run --rm (\S+) ([^#`\n]+)", OPERATIONS)


@pytest.mark.parametrize(("service", "words"), DOCUMENTED)
def test_a_documented_command_can_be_given(service: str, words: str) -> None:
    assert service in OUR_SERVICES
    result = CliRunner().invoke(cli, [*words.split(), *([] if "--help" in words else ["--help"])])
    assert result.exit_code == 0, result.output


def test_the_documented_table_is_what_compose_runs() -> None:
    rows = re.findall(r"^\| `(\w+)` \|(?: `bridge ([^`]+)`)? \|.*\| (\d+) MB \|$", OPERATIONS, re.MULTILINE)
    table = {name: (command.split(), f"{limit}m") for name, command, limit in rows}
    runs = {
        name: (service["command"] if name in OUR_SERVICES else [], service["mem_limit"])
        for name, service in SERVICES.items()
    }
    assert table == runs


# --- settings and secrets -------------------------------------------------------------------------------------------


@each_of_ours
def test_every_variable_is_a_setting(name: str) -> None:
    known = {setting.name for setting in SETTINGS} | source_variables()["in"] | source_variables()["back"]
    known |= channel_variables()
    given = {variable.removesuffix("_FILE") for variable in SERVICES[name]["environment"]}
    assert given <= known


def test_every_source_has_its_key_at_the_receiver() -> None:
    given = {variable.removesuffix("_FILE") for variable in SERVICES["receiver"]["environment"]}
    assert source_variables()["in"] <= given, "a source without a key answers 401 to everybody"


def test_whoever_decides_on_callbacks_knows_where_they_go() -> None:
    for name, service in OUR_SERVICES.items():
        if name != "receiver":
            given = {variable.removesuffix("_FILE") for variable in service["environment"]}
            assert source_variables()["back"] <= given, name


@pytest.mark.parametrize("name", ["deliver", "desk"])
def test_whoever_tells_people_knows_every_channel(name: str) -> None:
    given = {variable.removesuffix("_FILE") for variable in SERVICES[name]["environment"]}
    assert channel_variables() | {"BRIDGE_SMTP_URL"} <= given


def test_no_secret_stands_in_the_environment() -> None:
    secret = {setting.name for setting in SETTINGS if setting.secret} | {"BRIDGE_DATABASE_URL", "BRIDGE_BROKER_URL"}
    secret |= source_variables()["in"] | {name for name in source_variables()["back"] if "SECRET" in name}
    secret |= channel_variables() - {"OFFICE_WEBHOOK_URL"}
    for name, service in SERVICES.items():
        assert not secret & set(service.get("environment", {})), name


def test_the_receiver_has_no_way_to_the_database() -> None:
    receiver = SERVICES["receiver"]
    assert not any("DATABASE" in variable for variable in receiver["environment"])
    assert not any("database" in secret for secret in receiver["secrets"])
    assert not set(receiver["networks"]) & set(SERVICES["postgres"]["networks"])


@each_service
def test_a_secret_is_mounted_where_it_is_read_and_nowhere_else(name: str) -> None:
    service = SERVICES[name]
    mounted = {secret for secret in service.get("secrets", []) if isinstance(secret, str)}
    read = {
        value.removeprefix("/run/secrets/")
        for variable, value in service.get("environment", {}).items()
        if variable.endswith("_FILE")
    }
    assert mounted == read


def made_secrets(folder: Path) -> Path:
    """Run the block of docs/operations.md that makes the secrets; return the folder they are in."""
    block = re.search(r"```sh secrets\n(.*?)```", OPERATIONS, re.DOTALL)
    assert block
    (folder / "deploy").mkdir(exist_ok=True)
    subprocess.run(["sh", "-c", block[1]], cwd=folder, check=True)
    return folder / "deploy/secrets"


def test_the_documented_block_makes_exactly_the_secrets_compose_mounts(tmp_path: Path) -> None:
    made = made_secrets(tmp_path)
    wanted = {PurePosixPath(secret["file"]) for secret in COMPOSE["secrets"].values()}
    assert {PurePosixPath("./deploy/secrets") / path.name for path in made.iterdir()} == wanted
    assert made.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in made.iterdir()} == {0o444}, "read by users 101, 999 and 10001"


def test_the_documented_block_never_overwrites(tmp_path: Path) -> None:
    before = {path.name: path.read_text() for path in made_secrets(tmp_path).iterdir()}
    with pytest.raises(subprocess.CalledProcessError):
        made_secrets(tmp_path)
    assert {path.name: path.read_text() for path in (tmp_path / "deploy/secrets").iterdir()} == before


def example_env() -> dict[str, str]:
    """Return the variables of deploy/compose.env.example."""
    lines = (ROOT / "deploy/compose.env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def environment_of(name: str, secrets: Path) -> dict[str, str]:
    """Return a service's variables as the process sees them, with the folders of this checkout."""
    values = example_env()
    filled = {
        variable: re.sub(r"\$\{(\w+)(?::[-?][^}]*)?\}", lambda found: values[found[1]], str(value))
        for variable, value in SERVICES[name]["environment"].items()
    }
    folders = {"/run/secrets": str(secrets), "/etc/jembatan": str(ROOT / "config")}
    for inside, here in folders.items():
        filled = {variable: value.replace(inside, here, 1) for variable, value in filled.items()}
    return filled


@each_of_ours
def test_a_service_starts_from_its_settings_and_the_documented_secrets(name: str, tmp_path: Path) -> None:
    variables = environment_of(name, made_secrets(tmp_path))
    settings = read_settings(variables)
    configuration = read_configuration(settings, variables)
    assert settings.data_dir == Path("/var/lib/jembatan")
    if name == "receiver":
        assert configuration.warnings == ()


def test_the_made_addresses_name_services_and_the_users_made_there(tmp_path: Path) -> None:
    made = made_secrets(tmp_path)
    database = urlsplit((made / "database_url").read_text().strip())
    assert (database.hostname, database.username) == ("postgres", SERVICES["postgres"]["environment"]["POSTGRES_USER"])
    assert database.path == "/" + SERVICES["postgres"]["environment"]["POSTGRES_DB"]
    assert database.password == (made / "database_password").read_text().strip()
    broker = (made / "broker_url").read_text().strip()
    user = dict(line.split(" = ") for line in (made / "broker_user").read_text().splitlines())
    assert urlsplit(broker).hostname in SERVICES
    assert pika.URLParameters(broker).virtual_host == Connection(broker).virtual_host == "/"
    assert (urlsplit(broker).username, urlsplit(broker).password) == (user["default_user"], user["default_pass"])


def test_the_example_environment_has_what_compose_asks_for() -> None:
    asked = set(re.findall(r"\$\{(\w+)", TEXT))
    assert set(example_env()) == asked
    assert (
        asked <= {setting.name for setting in SETTINGS} | source_variables()["back"] | channel_variables() | OF_THE_HOST
    )


def test_secrets_and_the_environment_stay_out_of_the_repository() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {".env", "deploy/secrets/"} <= set(ignored)


# --- what is mounted ------------------------------------------------------------------------------------------------


def mounts(service: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield source, target and mode of each mount."""
    for mount in service.get("volumes", []):
        source, target, *mode = mount.split(":")
        yield source, target, mode[0] if mode else "rw"


@each_service
def test_mounted_files_exist_and_are_read_only(name: str) -> None:
    for source, target, mode in mounts(SERVICES[name]):
        assert PurePosixPath(target).is_absolute()
        if source.startswith("."):
            assert (ROOT / source).exists(), source
            assert mode == "ro", source
        else:
            assert source in COMPOSE["volumes"], source


def test_nothing_is_declared_and_never_used() -> None:
    volumes = {source for service in SERVICES.values() for source, *_ in mounts(service)}
    networks = {network for service in SERVICES.values() for network in service["networks"]}
    secrets = {
        secret if isinstance(secret, str) else secret["source"]
        for service in SERVICES.values()
        for secret in service.get("secrets", [])
    }
    assert set(COMPOSE["volumes"]) <= volumes
    assert set(COMPOSE["networks"]) == networks
    assert set(COMPOSE["secrets"]) == secrets


def test_the_spool_survives_its_container() -> None:
    data_dir = SERVICES["receiver"]["environment"]["BRIDGE_DATA_DIR"]
    assert {target: source for source, target, _ in mounts(SERVICES["receiver"])}[data_dir] == "spool"
    # A new volume takes its owner from the folder it covers.
    assert f"install -d -o jembatan -g jembatan -m 0700 {data_dir}" in DOCKERFILE


# --- containment and resources --------------------------------------------------------------------------------------


@each_service
def test_service_is_contained(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["cap_drop"] == ["ALL"]
    assert not {"privileged", "cap_add"} & set(service)
    assert int(service["user"].split(":")[0]) > 0
    assert service["pids_limit"] > 0
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}
    assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")


def test_a_machine_of_4_gb_is_enough() -> None:
    running = {name: service for name, service in SERVICES.items() if name != "migrate" and "profiles" not in service}
    assert sum(megabytes(service["mem_limit"]) for service in running.values()) <= 3.5 * 1024


def test_the_queue_stops_publishers_before_it_is_killed() -> None:
    lines = (ROOT / "deploy/rabbitmq.conf").read_text().splitlines()
    pairs = [line.split(" = ") for line in lines if line and not line.startswith("#")]
    settings = {name: value for name, value in pairs}
    assert len(settings) == len(pairs), "a key stands twice"
    limit = megabytes(SERVICES["rabbitmq"]["mem_limit"])
    watermark = int(settings["vm_memory_high_watermark.absolute"].removesuffix("MiB"))
    assert watermark <= 0.6 * limit
    # Up to three times its size is in memory while the log is written out.
    assert 3 * int(settings["raft.wal_max_size_bytes"]) / 2**20 <= watermark
    assert settings["default_queue_type"] == "quorum"


@each_service
def test_ports_are_open_to_this_machine_only(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.sub(r"\$\{\w+:-(.*?)\}", r"\1", port).startswith("127.0.0.1:")


def test_only_who_must_reaches_the_outside() -> None:
    assert [name for name, kind in COMPOSE["networks"].items() if kind != {"internal": True}] == ["outside"]
    outside = {name for name, service in SERVICES.items() if "outside" in service["networks"]}
    assert outside == {"nginx", "desk", "deliver", "audit", "mailpit"}


# --- order and health -----------------------------------------------------------------------------------------------


def test_who_is_waited_for_can_say_that_it_is_well() -> None:
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            assert other in SERVICES, name
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other], f"{name} waits for {other}"
            if how["condition"] == "service_completed_successfully":
                assert SERVICES[other]["restart"] == "no", f"{name} waits for {other} to end"


def test_whoever_knows_facts_waits_for_the_schema() -> None:
    for name, service in OUR_SERVICES.items():
        if "facts" in service["networks"] and name != "migrate":
            assert service["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}, name


def test_reports_come_in_without_database_desk_or_queue() -> None:
    assert SERVICES["receiver"]["depends_on"] == {"rabbitmq": {"condition": "service_started"}}
    assert SERVICES["nginx"]["depends_on"]["desk"] == {"condition": "service_started"}


# --- the image ------------------------------------------------------------------------------------------------------


def copied() -> list[str]:
    """Return what the Dockerfile copies from the repository."""
    lines = re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


def test_copied_files_exist_and_reach_the_builder() -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignore[1] == "*", "nothing but what is named, so that no secret gets in"
    let_in = {line[1:] for line in ignore if line.startswith("!")}
    for source in copied():
        assert (ROOT / source).exists(), source
    assert set(copied()) == let_in


def test_dependencies_are_installed_by_hash_and_the_project_without_any() -> None:
    installs = re.findall(r"pip install (.*)", DOCKERFILE)
    assert installs == ["--require-hashes --only-binary :all: -r requirements.txt", "--no-deps --no-build-isolation ."]


def test_entrypoint_is_a_script_of_the_project_and_runs_as_nobody_special() -> None:
    (entrypoint,) = re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE)
    assert set(json.loads(entrypoint)) <= set(PROJECT["project"]["scripts"])
    (user,) = re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE)
    assert {user} == {service["user"] for service in OUR_SERVICES.values()}


def test_the_image_has_the_python_the_project_asks_for() -> None:
    (version,) = set(re.findall(r"^FROM python:(\d+\.\d+)-", DOCKERFILE, re.MULTILINE))
    least = PROJECT["project"]["requires-python"].removeprefix(">=")
    assert tuple(map(int, version.split("."))) >= tuple(map(int, least.split(".")))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as the image has it: built from what the Dockerfile copies, and unpacked."""
    folder = tmp_path_factory.mktemp("image")
    for source in copied():
        subprocess.run(["cp", "-R", str(ROOT / source), str(folder / Path(source).name)], check=True)
    build = "import sys, setuptools.build_meta as backend; print(backend.build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", build, str(folder / "dist")], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next((folder / "dist").glob("*.whl"))) as wheel:
        wheel.extractall(folder / "installed")
    return folder / "installed"


def test_the_image_has_every_page_migration_and_table_of_the_project(installed: Path) -> None:
    packages = [source for source in copied() if (ROOT / source).is_dir()]
    ours = {
        path.relative_to(ROOT)
        for package in packages
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    missing = sorted(str(path) for path in ours if not (installed / path).exists())
    assert missing == [], "add them to [tool.setuptools.package-data] in pyproject.toml"


def test_the_installed_project_runs_without_the_repository(installed: Path, tmp_path: Path) -> None:
    run = "import sys, bridge; assert bridge.__file__.startswith(sys.argv.pop(1)); from bridge.cli import cli; cli()"
    done = subprocess.run(
        [sys.executable, "-c", run, str(installed), "--help"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(installed), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
