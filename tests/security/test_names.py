"""Names that become files: nothing that comes from outside leads out of its folder."""

import hashlib
import io
import os
import re
import stat
import zipfile
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from api.archive import archive
from api.schemas import build_spec
from beholder.errors import InvalidSpec
from beholder.intake import keep
from beholder.jobs import claims, finish
from beholder.jobs.outcomes import DreamOutcome, StoredFile
from beholder.jobs.queries import get_job, items
from beholder.jobs.spool import Entry
from beholder.jobs.submit import create_job
from beholder.specs import DreamSpec
from beholder.store import Store, job_folder, picture_path, result_folder
from cli.context import Context
from cli.export import export_job
from tests.security import craft

HOSTILE = (
    "../../etc/passwd",
    "/etc/passwd",
    "..\\..\\windows\\system.ini",
    "C:\\evil.png",
    "a/../../b.png",
    "....//....//c.png",
    "\0null.png",
    "-rf.png",
    "~root.png",
    ".ssh",
    "con\u202egnp.exe",
    "x" * 400 + ".png",
    "\x1b[2Jclear.png",
    "",
    ".",
    "..",
)


_PATHS = st.lists(st.sampled_from(["..", "/", "a", "."])).map("".join)


@given(st.text() | st.sampled_from(HOSTILE) | _PATHS)
def test_the_store_never_leaves_its_folder(tmp_path_factory, path):
    store = Store.open(str(tmp_path_factory.getbasetemp() / "store"))
    try:
        full = store.local_path(path)
    except ValueError:
        return
    assert full is not None
    root = os.path.normpath(str(store))
    assert os.path.normpath(full) == root or os.path.normpath(full).startswith(root + "/")


@settings(max_examples=20)
@given(
    st.from_regex("[0-9a-f]{64}", fullmatch=True), st.from_regex("[0-9a-z]{1,9}", fullmatch=True)
)
def test_paths_of_the_store_have_no_other_parts(sha256, word):
    for path in (picture_path(sha256), job_folder(word), result_folder(word, sha256)):
        assert ".." not in PurePosixPath(path).parts
        assert not PurePosixPath(path).is_absolute()


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A finished job whose pictures and itself have hostile names: (context, its id)."""
    monkeypatch.setenv("BEHOLDER_HOME", str(tmp_path / "home"))
    context = Context()
    data = craft.encoded(Image.new("RGB", (32, 32)))
    entries = [Entry(name, keep(context.store, data, max_pixels=10**6)) for name in HOSTILE]
    spec = DreamSpec(network="specimens", layers=(20,), steps=1)
    made = create_job(context.db, spec, entries, name="../../evil\x1b[2J")
    while taken := claims.claim_next(context.db, worker="test", lease_s=60):
        outcomes = [outcome(context.store, taken[0], item, data) for item in taken[0].items]
        finish.finish_dreams(context.db, [(taken[0], outcomes)])
    return context, made.id


def outcome(store, claim, item, data):
    path = f"{result_folder(claim.job_id, claim.token)}/{item.position}.png"
    store.put(path, data)
    file = StoredFile(1, path, hashlib.sha256(data).hexdigest(), len(data), 32, 32)
    return DreamOutcome(item.position, (file,), {"objective": [1.0, 2.0]}, 0.1)


def is_plain(name):
    return name == Path(name).name and not name.startswith((".", "-")) and name.isprintable()


def test_a_zip_unpacks_into_its_own_folder(job, tmp_path):
    context, job_id = job
    data = b"".join(archive(context.db, context.store, get_job(context.db, job_id)))
    with zipfile.ZipFile(io.BytesIO(data)) as zipped:
        names = zipped.namelist()
        assert len(set(names)) == len(HOSTILE) + 1
        assert all(is_plain(name) for name in names)
        modes = [entry.external_attr >> 16 for entry in zipped.infolist()]
        assert not any(stat.S_ISLNK(mode) or mode & 0o077 for mode in modes)


def test_fetch_writes_into_its_own_folder(job, tmp_path):
    context, job_id = job
    before = {path for path in tmp_path.rglob("*") if "home" not in path.parts}
    out = tmp_path / "a" / "out"
    exported = export_job(context.desk, job_id, out)
    assert exported.files == len(HOSTILE)
    written = {path for path in tmp_path.rglob("*") if "home" not in path.parts} - before
    assert all(path == out.parent or path.is_relative_to(out) for path in written)
    assert all(is_plain(path.name) for path in written)


def test_fetch_replaces_a_link_and_leaves_what_it_led_to(job, tmp_path):
    context, job_id = job
    precious, out = tmp_path / "precious", tmp_path / "out"
    precious.write_text("mine")
    export_job(context.desk, job_id, out)
    for path in out.glob("*.*"):
        path.unlink()
        path.symlink_to(precious)
    export_job(context.desk, job_id, out)
    assert precious.read_text() == "mine"
    assert not any(path.is_symlink() for path in out.glob("*.*"))


@pytest.mark.parametrize(
    "name", ["../../x.pth", "/etc/passwd", "random:1/../../x", "vgg19/../x", "x.pth", "x.PTH"]
)
def test_a_network_over_http_names_no_file(name):
    with pytest.raises(InvalidSpec, match="write vgg19, specimens or random:SEED"):
        build_spec("dream", {"network": name}, network="specimens")


def test_no_folder_of_the_job_is_named_by_a_user(job):
    context, job_id = job
    paths = [file.path for item in items(context.db, job_id) for file in item.files]
    assert len(paths) == len(HOSTILE)
    pattern = re.compile(r"results/[0-9a-z]{10}/[0-9a-z]+/[0-9]+\.png")
    assert all(pattern.fullmatch(path) for path in paths)
