"""Credentials reach neither a run folder nor a terminal; what looks like one is left out, and nothing else is."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from test_run_folder import planned, study_of

from search.cli import main
from search.run_folder import RunFolder
from search.screen import Screen
from search.settings import load_settings
from trainables.errors import Mistake
from trainables.redaction import redacted, without_secrets

KEY = "AKIA" + "ABCDEFGHIJKLMNOP"
SECRET = "/".join(["wJalrXUtnFEMI", "K7MDENG+bPxRfiCYEXAMPLE"])
HF = "hf_" + "abcdefghijklmnopqrstuvwx"
STORE = f"s3://{KEY}:{SECRET}@bucket/prefix"

KEPT = {
    f"--store {STORE} --seeds 2": "--store s3://***@bucket/prefix --seeds 2",
    "sftp://user:p@ss@host/dir": "sftp://***@host/dir",
    "https://token@host/a": "https://***@host/a",
    "https://h/x?X-Amz-Credential=a%2Fb&X-Amz-Signature=0a1b&v=2":
        "https://h/x?X-Amz-Credential=***&X-Amz-Signature=***&v=2",
    "https://h/x?token=abc&n=1#top": "https://h/x?token=***&n=1#top",
    "Authorization: Bearer abcdefghijklmnop": "Authorization: Bearer ***",
    "authorization: Basic dXNlcjpwYXNz": "authorization: Basic ***",
    f"token {HF} is wrong": "token *** is wrong",
    "WANDB_API_KEY=0123456789abcdef0123456789abcdef01234567": "WANDB_API_KEY=***",
    '{"aws_secret_access_key": "a/b+c12345", "n": 1}': '{"aws_secret_access_key": "***", "n": 1}',
    "--set tracker.password=hunter22": "--set tracker.password=***",
    "--api-key 0123456789 --seeds 2": "--api-key *** --seeds 2",
    f"AccessDenied for {KEY}": "AccessDenied for ***",
    "ghp_0123456789abcdefghij0123456789abcdef": "***",
    "a -----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY----- b": "a *** b",
    "RAY_AUTH_TOKEN=0123456789abcdef": "RAY_AUTH_TOKEN=***",
}  # fmt: skip

PLAIN = [
    "mini-nli>mini-tags+mini-topic", "revision 0123456789abcdef0123456789abcdef01234567", "token_accuracy: 0.98765",
    "pad_token <pad>, mask_token <mask>", "s3://bucket/prefix@v1", "hf://datasets/owner/name@main",
    "http://127.0.0.1:8265/x@y", "FacebookAI/xlm-roberta-base@0123456", "the token authentication is on",
    "key 'train.steps' of a@b.example", "tokens a second: 12345678", "ray://host:10001", "secret", "https://h/?page=2",
]  # fmt: skip


@pytest.mark.parametrize("text", KEPT)
def test_credentials_are_left_out(text):
    assert redacted(text) == KEPT[text]
    assert redacted(KEPT[text]) == KEPT[text]


@pytest.mark.parametrize("text", PLAIN)
def test_nothing_else_is(text):
    assert redacted(text) == text


@pytest.mark.parametrize("text", ["-" * 50_000 + "key", "x://a:" * 10_000, "a-" * 30_000 + "://key", "secret=" * 9000])
def test_no_text_takes_long_to_look_through(text):
    redacted(text)


def test_nested_settings_keep_their_form():
    given = {"store": STORE, "n": 1, "none": None, "inner": {"api_key": "abc", "list": [HF, 2.5, True]}}
    inner = {"api_key": "***", "list": ["***", 2.5, True]}
    assert without_secrets(given) == {"store": "s3://***@bucket/prefix", "n": 1, "none": None, "inner": inner}


MADE = []


@pytest.fixture
def finished(world, tmp_path):
    """A copy of a finished run that was given its store with credentials, and of which a stage failed with them in its
    reason."""
    if not MADE:
        MADE.append(_made(world))
    return Path(shutil.copytree(MADE[0], tmp_path / "copy"))


def _made(world):
    study = study_of(world)
    planner = planned(study, broken="pairs #0")
    assert planner.failed
    for name in planner.failed:
        planner.failed[name] = f"ClientError: {STORE} refused, Authorization: Bearer {SECRET}, {HF}"
    study.settings = study.settings.model_copy(update={"store": STORE})
    folder = RunFolder(study, ["order-search", "run", "--store", STORE, "--set", f"x.token={HF}"])
    folder.finish(planner, {})
    return folder.path


def test_no_file_of_a_run_folder_holds_credentials(finished):
    files = [path for path in finished.rglob("*") if path.is_file()]
    assert len(files) > 20
    for path in files:
        content = path.read_bytes()
        for secret in (KEY, SECRET, HF):
            assert secret.encode() not in content, path
    manifest = json.loads((finished / "manifest.json").read_text())
    assert manifest["command"].startswith("order-search run --store s3://***@bucket/prefix")
    assert "***@bucket/prefix refused" in next(iter(manifest["failed"].values()))


def test_the_environment_is_in_no_file(world, monkeypatch):
    monkeypatch.setenv("SOME_VARIABLE", "value-of-the-environment")
    folder = RunFolder(study_of(world), ["order-search", "run"])
    assert not any(b"value-of-the-environment" in path.read_bytes() for path in folder.path.iterdir())


def test_settings_say_that_credentials_were_left_out_and_are_refused_without(finished):
    text = (finished / "config.yaml").read_text()
    assert "# Credentials were left out (***)" in text
    assert yaml.safe_load(text)["store"] == "s3://***@bucket/prefix"
    with pytest.raises(Mistake, match="credentials were left out"):
        load_settings({"space": str(finished / "config.yaml")})
    settings, _ = load_settings({"space": str(finished / "config.yaml"), "store": "s3://bucket/prefix"})
    assert settings.store == "s3://bucket/prefix"


def test_older_manifests_are_shown_without_credentials(finished, capsys):
    path = finished / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "command": f"run --store {STORE}"}))
    assert main(["report", str(finished)]) == 0
    for name in ("report.html", "report.md", "report.json", "cards/RECOMMENDED.md"):
        assert SECRET not in (finished / name).read_text(), name


def test_no_credentials_reach_the_terminal(world, capsys):
    assert main(world.study("--store", f"evil://{KEY}:{SECRET}@bucket/x")) == 2
    told = capsys.readouterr()
    assert "evil://***@bucket/x" in told.err
    assert SECRET not in told.err + told.out


def test_a_screen_shows_what_would_command_it(capsys):
    screen = Screen(force_terminal=True, width=80, color_system="standard", highlight=False)
    screen.print("[red]name[/] \x1b]0;title \x9b2J \u202eabc")
    shown = capsys.readouterr().out
    assert r"\x1b]0;title \x9b2J \u202eabc" in shown
    assert re.findall(r"\x1b[^m]*m", shown)  # its own colours are obeyed
    assert "\x1b]" not in shown
    plain = Console(force_terminal=True, width=80, highlight=False)
    plain.print("\x1b]0;title")
    assert "\x1b]" in capsys.readouterr().out  # which rich by itself lets through
