"""A store on S3, as a real server speaks it: what others write and remove meanwhile is seen."""

import hashlib
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from beholder.errors import NotFound
from beholder.store import Store, picture_path
from beholder.upkeep.checkpoints import stray_checkpoints
from beholder.upkeep.garbage import collect
from beholder.upkeep.leftovers import leftovers, remove_leftover, stray_jobs
from beholder.upkeep.pictures import GRACE_S
from tests.e2e.bucket import KEY, SECRET, s3_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real S3 server."""
    with s3_server(tmp_path_factory.mktemp("s3")) as url:
        yield url


@pytest.fixture
def another(server, monkeypatch):
    """Another process's hands on the bucket."""
    s3fs = pytest.importorskip("s3fs")
    for name, value in (
        ("AWS_ENDPOINT_URL", server),
        ("AWS_ACCESS_KEY_ID", KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
    ):
        monkeypatch.setenv(name, value)
    other = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
    other.mkdir("beholder")
    yield other
    other.rm("beholder", recursive=True)


@pytest.fixture
def store(another):
    return Store.open("s3://beholder/store")


def test_a_picture_that_another_wrote_again_stays(store, another):
    sha256 = store.put_picture(b"picture")
    folder = picture_path(sha256).rpartition("/")[0]
    (listed,) = store.list(folder)
    before = listed.modified + 1  # S3 tells whole seconds
    time.sleep(max(0.0, math.ceil(before) - time.time()))
    another.pipe_file(f"beholder/store/{picture_path(sha256)}", b"picture")
    assert not store.drop_picture(sha256, before=before)
    assert store.picture(sha256) == b"picture"
    assert store.drop_picture(sha256, before=time.time() + 60)
    assert list(store.list(folder)) == []


def test_what_another_stored_or_removed_since_the_last_look(store, another):
    sha256 = hashlib.sha256(b"picture").hexdigest()
    other = f"pictures/{sha256[:2]}/neighbour"
    store.put(other, b"")
    assert [one.name for one in store.list(f"pictures/{sha256[:2]}")] == ["neighbour"]
    another.pipe_file(f"beholder/store/{picture_path(sha256)}", b"picture")
    another.rm_file(f"beholder/store/{other}")
    assert store.digest(picture_path(sha256)) == (sha256, 7)
    assert [one.name for one in store.list(f"pictures/{sha256[:2]}")] == [sha256]
    with pytest.raises(NotFound):
        store.digest(other)


@pytest.mark.parametrize("home", ["sqlite"], indirect=True)
def test_a_bucket_is_verified_mended_and_collected(home, store, tmp_path, monkeypatch):
    home.store = store
    hashes = [hashlib.sha256(data).hexdigest() for data in (*map(home.data, range(2)), b"nobody's")]
    for module in ("pictures", "garbage", "ownership"):  # of 256, each of which is asked for
        monkeypatch.setattr(f"beholder.upkeep.{module}.FOLDERS", [one[:2] for one in hashes])
    job_id = home.done([0, 1])
    assert home.verify() == home.verify(quick=True) == []
    store.put_picture(b"nobody's")
    store.put("results/nojob/token/a.png", b"a")
    damaged = hashlib.sha256(home.data(1)).hexdigest()
    store.put(picture_path(damaged), b"picture 9")
    assert sorted(one.kind for one in home.verify()) == ["leftover", "picture damaged"]
    assert home.mend() == [f"{picture_path(damaged)}: removed; send it again."]
    home.entry(1)
    later = time.time() + GRACE_S + 10
    found = list(collect(home.db, store, tmp_path, remove=True, now=later))
    assert sorted(one.kind for one in found) == ["picture", "results"]
    assert home.verify() == []
    assert sorted(one.name for one in store.list(".")) == ["database", "pictures", "results"]
    assert job_id in {one.name for one in store.list("results")}
    store.put("checkpoints/nojob/0000000", b"a")
    (stray,) = stray_checkpoints(home.db, store)
    remove_leftover(store, stray)
    # Names without files, which SeaweedFS lists for minutes, are nothing that is left.
    assert list(stray_checkpoints(home.db, store)) == list(stray_jobs(home.db, store)) == []


def test_pictures_that_a_bucket_lost_are_told(store, another):
    """Among more of them than threads ask at once."""
    sizes = {store.put_picture(bytes([number])): 1 for number in range(20)}
    lost, short, *_ = sizes
    another.rm_file(f"beholder/store/{picture_path(lost)}")
    another.pipe_file(f"beholder/store/{picture_path(short)}", b"")
    assert store.lacking(sizes) == {lost, short}


@pytest.mark.parametrize("home", ["sqlite"], indirect=True)
def test_a_job_s_files_are_one_list_however_many_chunks_wrote_them(home, store, monkeypatch):
    home.store = store
    job_id = home.submit([], noise=20, chunk_size=1)
    home.run(job_id)
    with requests(store) as asked:
        assert list(leftovers(home.db, store, job_id)) == []
    assert asked == ["ListObjectsV2"]
    monkeypatch.setattr(store._fs, "req_kw", {"MaxKeys": 15})  # of 40 files
    with requests(store) as asked:
        assert list(leftovers(home.db, store, job_id)) == []
    assert asked == 3 * ["ListObjectsV2"]
    store.put(f"results/{job_id}/loose.png", b"loose")
    store.put(f"results/{job_id}/stray/in/0.png", b"stray")
    store.put(f"results/{job_id}x/other/0.png", b"another job's, whose name begins so")
    found = sorted(leftovers(home.db, store, job_id))
    assert found == [
        (f"results/{job_id}/loose.png", False, 1, 5),
        (f"results/{job_id}/stray", True, 1, 5),
    ]


@contextmanager
def requests(store):
    """What S3 is asked meanwhile."""
    asked, events = [], store._fs.s3.meta.events

    def note(model, **_):
        asked.append(model.name)

    events.register("before-call.s3", note)
    try:
        yield asked
    finally:
        events.unregister("before-call.s3", note)
