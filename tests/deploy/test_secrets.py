"""deploy/make-secrets: what it makes, and what becomes of it where a secret is made anew."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from beholder.tokens import Caller, Tokens, make_token
from tests.deploy.compose import ROOT, document


def test_secrets_are_files_that_the_script_makes(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    for _ in range(2):  # again, it leaves them as they are
        subprocess.run(["sh", "deploy/make-secrets", str(folder)], cwd=ROOT, check=True)
        made = {file.name: file.read_text() for file in folder.iterdir()}
    wanted = {Path(one["file"]).name for one in document()["secrets"].values()}
    assert wanted | {"admin_token"} == set(made)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o444}
    passwords = [text for text in made.values() if re.fullmatch(r"[0-9a-f]{64}\n", text)]
    assert len(set(passwords)) == len(passwords) == 3
    subprocess.run(["sh", "deploy/make-secrets", str(tmp_path / "more")], cwd=ROOT, check=True)
    assert not set(made.values()) & {file.read_text() for file in (tmp_path / "more").iterdir()}


def test_a_secret_made_anew_takes_the_old_one_s_place(tmp_path: Path) -> None:
    """With what is made from it; nobody knows the old one any more, and what was added stays."""
    folder = tmp_path / "secrets"
    old = _secrets(folder)
    token, entry = make_token("ada", "submit")
    (folder / "api_tokens").chmod(0o644)
    (folder / "api_tokens").write_text(f"{entry},\n {old['api_tokens']}\n")
    for name in ("admin_token", "metrics_token", "s3_credentials"):
        (folder / name).unlink()
        new = _secrets(folder)
        assert new[name] != old[name]
        assert _secrets(folder) == new
    tokens = Tokens(new["api_tokens"])
    assert tokens.caller(new["admin_token"]) == Caller("admin", "admin")
    assert tokens.caller(new["metrics_token"]) == Caller("prometheus", "read")
    assert tokens.caller(token) == Caller("ada", "submit")
    assert not any(tokens.caller(old[name]) for name in ("admin_token", "metrics_token"))
    key, before = (one["s3_credentials"].split()[-1] for one in (new, old))
    assert json.loads(old["s3_identities"]) == json.loads(new["s3_identities"].replace(key, before))
    assert key in new["s3_identities"]


def test_a_key_that_finds_no_place_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    _secrets(folder)
    (folder / "s3_credentials").unlink()
    (folder / "s3_identities").unlink()
    (folder / "s3_identities").write_text('{"identities": []}')
    with pytest.raises(subprocess.CalledProcessError) as failed:
        _secrets(folder)
    assert "s3_identities lacks the key of s3_credentials" in failed.value.stderr


def _secrets(folder: Path) -> dict[str, str]:
    command = ["sh", "deploy/make-secrets", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return {file.name: file.read_text().strip() for file in folder.iterdir()}
