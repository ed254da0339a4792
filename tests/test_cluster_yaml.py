"""Checks cluster.yaml with Ray's validator and autoscaler, against Ray's unsafe defaults and for vipriors.yaml."""

import copy
import json
import re
import shlex
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from jsonschema import ValidationError
from ray._raylet import Config
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingReply, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil
from ray.core.generated.autoscaler_pb2 import GangResourceRequest
from ray.scripts.scripts import start

from raysearch.space import load_space

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "cluster.yaml").read_text(encoding="utf-8")
CONFIG: dict[str, Any] = yaml.safe_load(TEXT)
NODES: dict[str, dict[str, Any]] = CONFIG["available_node_types"]
HEAD = NODES["head"]
GPU_NODES = {name: node for name, node in NODES.items() if name != "head"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

RAYS_AUTOSCALER = Path(ray.__file__).parent / "autoscaler"
RAYS_DEFAULTS = yaml.safe_load((RAYS_AUTOSCALER / "aws/defaults.yaml").read_text(encoding="utf-8"))

INSTANCES = {
    "m6i.xlarge": {"CPU": 4, "GPU": 0},
    "g5.2xlarge": {"CPU": 8, "GPU": 1},
    "g6e.2xlarge": {"CPU": 8, "GPU": 1},
}
"""vCPUs and GPUs of the instance types, from the AWS documentation."""

SECRETS = {
    "an access key": r"\b(AKIA|ASIA)[A-Z0-9]{16}\b",
    "an account": r"\b\d{12}\b",
    "a token or digest": r"\b[0-9a-fA-F]{32,}\b",
    "a secret key": r"(?<![\w+/])[\w+/]{40,}",
    "a private key": r"-----BEGIN",
    "an id of AWS": r"\b(ami|subnet|sg|vpc|fs|key|i)-[0-9a-f]{8,}\b",
}

RAY_STAND_IN = f"""#!{sys.executable}
import json, os, sys
from ray._raylet import Config
names = ("period_ms", "timeout_ms", "failure_threshold")
check = {{name: getattr(Config, f"health_check_{{name}}")() for name in names}}
print(json.dumps({{"arguments": sys.argv[1:], "mode": os.environ.get("RAY_AUTH_MODE"), "check": check}}))
"""


def on_node(home: Path, command: str, **environment: str) -> str:
    """Run a command as `ray up` does on a node with home ``home``, after ~/.bashrc, and return its stdout."""
    return subprocess.run(
        ["bash", "-c", f"source ~/.bashrc; ({command})"],
        env={"HOME": str(home), "PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def set_up(home: Path) -> None:
    """Run the setup commands of a node, except the installation."""
    for command in CONFIG["setup_commands"]:
        if "pip install" not in command and "-m venv" not in command:
            on_node(home, command)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home of a node after file mounts. The `ray` in its environment only prints its arguments."""
    programs = tmp_path / "venv/bin"
    programs.mkdir(parents=True)
    (programs / "activate").write_text("PATH=~/venv/bin:$PATH\n")
    (programs / "ray").write_text(RAY_STAND_IN)
    (programs / "ray").chmod(0o755)
    (tmp_path / ".bashrc").touch()
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray/auth_token").write_text("not a secret")
    return tmp_path


def read_start(home: Path, who: str, **environment: str) -> dict[str, Any]:
    """Options, parsed by Ray, and settings of the `ray start` in the last start command of ``who``."""
    called = json.loads(on_node(home, CONFIG[f"{who}_start_ray_commands"][-1], **environment))
    assert called["arguments"].pop(0) == "start"
    return {**called, "options": start.make_context("ray start", called["arguments"]).params}


def seconds_to_notice(check: dict[str, int]) -> float:
    return check["failure_threshold"] * (check["period_ms"] + check["timeout_ms"]) / 1000


def schedule(workers: int, **availability: float) -> SchedulingReply:
    """The nodes that Ray's autoscaler starts for a trial with ``workers`` workers if no node is running."""
    config = prepare_config(copy.deepcopy(CONFIG))
    del config["auth"]["ssh_private_key"]  # a placeholder; the autoscaler would read the file
    resources = load_space(ROOT / "spaces/vipriors.yaml").resources
    bundle = {"CPU": resources.cpus_per_worker, "GPU": resources.gpus_per_worker}
    return ResourceDemandScheduler(None).schedule(
        SchedulingRequest(
            disable_launch_config_check=True,
            node_type_configs=AutoscalingConfig(config, skip_content_hash=True).get_node_type_configs(),
            max_num_nodes=config["max_workers"],
            gang_resource_requests=[GangResourceRequest(requests=[ResourceRequestUtil.make(bundle)] * workers)],
            recoverable_resource_availabilities=availability,
        )
    )


def find_secrets(text: str) -> list[str]:
    return [what for what, pattern in SECRETS.items() if re.search(pattern, text)]


def test_ray_accepts_it() -> None:
    validate_config(prepare_config(copy.deepcopy(CONFIG)))


@pytest.mark.parametrize("place", [(), ("auth",), ("available_node_types", "gpu_spot")])
def test_ray_refuses_a_key_that_it_does_not_know(place: tuple[str, ...]) -> None:
    config = prepare_config(copy.deepcopy(CONFIG))
    section = config
    for key in place:
        section = section[key]
    section["bogus"] = 1
    with pytest.raises(ValidationError, match="bogus"):
        validate_config(config)


def test_rays_defaults_are_still_what_the_comments_say() -> None:
    source = (RAYS_AUTOSCALER / "_private/aws/config.py").read_text(encoding="utf-8")
    for default in ('"CidrIp": "0.0.0.0/0"', "AmazonEC2FullAccess", "AmazonS3FullAccess", "Ubuntu 18.04"):
        assert default in source
    assert RAYS_DEFAULTS["provider"]["cache_stopped_nodes"]
    assert any("ray-3.0.0.dev0" in command for command in RAYS_DEFAULTS["setup_commands"])
    assert "--dashboard-host=0.0.0.0" in RAYS_DEFAULTS["head_start_ray_commands"][-1]
    assert all(not node["resources"] for node in RAYS_DEFAULTS["available_node_types"].values())


@pytest.mark.parametrize("node", NODES.values(), ids=list(NODES))
def test_no_node_uses_rays_defaults(node: dict[str, Any]) -> None:
    config = node["node_config"]
    assert config["SecurityGroupIds"] == ["CHANGE_ME_SECURITY_GROUP"]
    assert config["SubnetIds"] == ["CHANGE_ME_SUBNET"]
    assert config["ImageId"] == "CHANGE_ME_IMAGE"
    assert config["KeyName"] == Path(CONFIG["auth"]["ssh_private_key"]).stem == "CHANGE_ME_KEY"
    assert config["MetadataOptions"]["HttpTokens"] == "required"
    assert [disk["Ebs"]["Encrypted"] for disk in config["BlockDeviceMappings"]] == [True]


def test_only_the_head_can_call_aws_and_by_a_role_of_the_users_own() -> None:
    assert HEAD["node_config"]["IamInstanceProfile"] == {"Name": "CHANGE_ME_HEAD_PROFILE"}
    assert all("IamInstanceProfile" not in node["node_config"] for node in GPU_NODES.values())


def test_unused_nodes_end_and_cost_nothing() -> None:
    assert CONFIG["provider"]["cache_stopped_nodes"] is False
    assert 0 < CONFIG["idle_timeout_minutes"] <= 30
    assert all(node["min_workers"] == 0 for node in GPU_NODES.values())
    assert all(node["node_config"]["BlockDeviceMappings"][0]["Ebs"]["DeleteOnTermination"] for node in NODES.values())


def test_ray_is_installed_as_pyproject_pins_it_and_the_same_on_every_day() -> None:
    (install,) = [words for c in CONFIG["setup_commands"] if "install" in (words := shlex.split(c))]
    assert [word for word in install if word.startswith("ray[")] == [
        need for need in PROJECT["dependencies"] if need.startswith("ray")
    ]
    assert CONFIG["file_mounts"][install[install.index("-c") + 1]] == "constraints.txt"
    assert re.search(r"(?m)^ray==[\d.]+$", (ROOT / "constraints.txt").read_text(encoding="utf-8"))
    assert install[install.index("-e") + 1] == "~/raysearch"
    assert not any("://" in command for command in CONFIG["setup_commands"] + CONFIG["head_setup_commands"])


def test_programs_are_installed_before_they_are_used() -> None:
    commands = CONFIG["initialization_commands"] + CONFIG["setup_commands"] + CONFIG["head_setup_commands"]
    steps = [["apt-get", "install"], ["-m", "venv"], ["pip", "install", "ray"], ["pip", "install", "boto3"]]
    places = [next(i for i, c in enumerate(commands) if all(word in c for word in step)) for step in steps]
    assert places == sorted(places)
    assert "python3-venv" in commands[places[0]]


def test_nodes_are_reached_as_the_images_user() -> None:
    assert CONFIG["auth"]["ssh_user"] == "ubuntu"
    assert CONFIG["cluster_name"] != RAYS_DEFAULTS["cluster_name"]


def test_a_node_gets_only_the_files_that_an_installation_needs() -> None:
    mounts = {remote: local for remote, local in CONFIG["file_mounts"].items() if not local.startswith("~")}
    assert mounts == {f"~/raysearch/{local}": local for local in mounts.values()}
    assert all((ROOT / local).exists() for local in mounts.values())
    needed = {"raysearch", "pyproject.toml", PROJECT["readme"], *PROJECT["license-files"]}
    assert needed | {"spaces", "ensembles"} <= set(mounts.values())
    assert not {".", ".git", ".venv", "runs", "best"} & set(mounts.values())


def test_setup_of_a_node_uses_the_mounted_token(home: Path) -> None:
    assert CONFIG["file_mounts"]["~/.ray/auth_token"].startswith("~/")
    for _ in range(2):  # Ray may run the commands again
        set_up(home)
    assert stat.S_IMODE((home / ".ray/auth_token").stat().st_mode) == 0o600
    assert stat.S_IMODE((home / ".ray").stat().st_mode) == 0o700
    assert len((home / ".bashrc").read_text().splitlines()) == 1
    assert on_node(home, "echo $RAY_AUTH_MODE $RAY_USAGE_STATS_ENABLED").split() == ["token", "0"]


def test_setup_fails_without_a_token(home: Path) -> None:
    (home / ".ray/auth_token").unlink()
    with pytest.raises(subprocess.CalledProcessError, match="returned non-zero"):
        set_up(home)


def test_the_head_starts_closed_and_notices_a_lost_node_in_ten_seconds(home: Path) -> None:
    set_up(home)
    began = read_start(home, "head", RAY_USAGE_STATS_ENABLED="1")  # as `ray up` sets it if usage stats are on there
    assert began["mode"] == "token"
    assert began["options"]["head"]
    assert began["options"]["dashboard_host"] == "127.0.0.1"
    assert began["options"]["disable_usage_stats"]
    assert began["options"]["autoscaling_config"]
    assert began["options"]["port"] == 6379
    assert seconds_to_notice(began["check"]) <= 10
    assert seconds_to_notice({name: getattr(Config, f"health_check_{name}")() for name in began["check"]}) > 60


def test_a_gpu_node_joins_the_head_with_the_token(home: Path) -> None:
    set_up(home)
    began = read_start(home, "worker", RAY_HEAD_IP="192.0.2.1")
    assert began["mode"] == "token"
    assert began["options"]["address"] == "192.0.2.1:6379"


@pytest.mark.parametrize("node", NODES.values(), ids=list(NODES))
def test_a_node_offers_no_more_than_its_instance_has(node: dict[str, Any]) -> None:
    has = INSTANCES[node["node_config"]["InstanceType"]]
    assert all(node["resources"][name] <= has[name] for name in has)


def test_the_head_runs_no_trial_and_is_neither_gpu_nor_spot() -> None:
    assert CONFIG["head_node_type"] == "head"
    assert HEAD["resources"] == {"CPU": 0, "GPU": 0}
    assert HEAD["max_workers"] == 0
    assert INSTANCES[HEAD["node_config"]["InstanceType"]]["GPU"] == 0
    assert "InstanceMarketOptions" not in HEAD["node_config"]


def test_gpu_nodes_are_spot_and_on_demand() -> None:
    markets = [node["node_config"].get("InstanceMarketOptions", {}).get("MarketType") for node in GPU_NODES.values()]
    assert sorted(markets, key=str) == [None, "spot"]


@pytest.mark.parametrize("node", GPU_NODES.values(), ids=list(GPU_NODES))
def test_a_trial_of_vipriors_fits_each_kind_of_gpu_node(node: dict[str, Any]) -> None:
    wants = load_space(ROOT / "spaces/vipriors.yaml").resources
    has = node["resources"]
    workers_on_one = min(has["CPU"] // wants.cpus_per_worker, int(has["GPU"] / wants.gpus_per_worker))
    assert workers_on_one >= 1
    assert min(node["max_workers"], CONFIG["max_workers"]) * workers_on_one >= wants.workers


@pytest.mark.parametrize(
    ("availability", "kind"), [({}, "gpu_spot"), ({"gpu_spot": 0.0}, "gpu_on_demand")], ids=["spot", "no spot left"]
)
def test_rays_autoscaler_starts_the_nodes_of_a_trial(availability: dict[str, float], kind: str) -> None:
    workers = load_space(ROOT / "spaces/vipriors.yaml").resources.workers
    reply = schedule(workers, **availability)
    assert {launch.instance_type: launch.count for launch in reply.to_launch} == {kind: workers}
    assert not reply.infeasible_gang_resource_requests


def test_the_cap_on_cost_holds_for_both_kinds_together() -> None:
    reply = schedule(CONFIG["max_workers"] + 1)
    assert len(reply.infeasible_gang_resource_requests) == 1
    assert not reply.to_launch


def test_the_placeholders_are_those_that_the_top_lists() -> None:
    top, _, below = TEXT.partition("\n\n")
    listed = re.findall(r"(?m)^#   (CHANGE_ME\w*) ", top)
    assert listed == sorted(set(listed), key=listed.index)
    assert set(listed) == set(re.findall(r"CHANGE_ME\w*", below))
    assert len(listed) > 5


def test_it_holds_no_secret_and_no_id_of_an_account() -> None:
    assert find_secrets(TEXT) == []


@pytest.mark.parametrize(
    ("what", "planted"),
    [
        ("an access key", "AKIA" + "Z" * 16),
        ("an account", "arn:aws:iam::" + "1" * 12 + ":role/x"),
        ("a token or digest", "ab12" * 8),
        ("a secret key", "aB3/" * 10),
        ("a private key", "-----BEGIN RSA"),
        ("an id of AWS", "subnet-0123abcd"),
    ],
)
def test_a_planted_secret_would_be_found(what: str, planted: str) -> None:
    assert what in find_secrets(f"{TEXT}  key: {planted}\n")
