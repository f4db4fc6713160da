"""Put in front of a service's path, this notes what its workers run, and lets pictures kill them.

FAULTS_RUNS: a file that gets a line for each batch as it begins on the device, and as it ends.
FAULTS_POISON: the SHA-256 of a picture; FAULTS_POISON_AT: "decode", "device" or "store", where it
kills; there once it is written.
FAULTS_POISON_HANGS: it does not kill, but never comes to an end.
Nothing in Beholder itself knows of this.
"""

import importlib.abc
import json
import os
import signal
import sys
import time


def note(event, items=()):
    line = {"at": time.monotonic(), "pid": os.getpid(), "event": event, "items": list(items)}
    # One short write to a file opened for appending is never mixed with another's.
    file = os.open(os.environ["FAULTS_RUNS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, json.dumps(line).encode() + b"\n")
    os.close(file)


def poisoned(item, where):
    return item.picture_sha256 == os.environ.get("FAULTS_POISON") and where == os.environ.get(
        "FAULTS_POISON_AT"
    )


def die():
    note("poisoned")
    while "FAULTS_POISON_HANGS" in os.environ:
        time.sleep(60)
    os.kill(os.getpid(), signal.SIGKILL)


def patch_dreams(module):
    run, put = module.DreamWork.run, module.DreamWork._put

    def noted(self, batch):
        items = [[wanted.claim.job_id, wanted.item.position] for wanted in batch.items]
        note("begun", items)
        if any(poisoned(wanted.item, "device") for wanted in batch.items):
            die()
        run(self, batch)
        standing = {claim.token for claim in self.standing}
        note("ended" if standing else "given up", items)

    def written(self, wanted, step, picture):
        file = put(self, wanted, step, picture)
        if poisoned(wanted.item, "store"):
            die()
        return file

    module.DreamWork.run, module.DreamWork._put = noted, written


def patch_pictures(module):
    load = module.Loader._load

    def watched(self, wanted, spec):
        if poisoned(wanted.item, "decode"):
            die()
        return load(self, wanted, spec)

    module.Loader._load = watched


class Patching(importlib.abc.MetaPathFinder):
    """Patches a module right after it has been loaded."""

    patches = {"worker.dreams": patch_dreams, "worker.pictures": patch_pictures}  # noqa: RUF012

    def find_spec(self, name, path=None, target=None):
        patch = self.patches.pop(name, None)
        if patch is None:
            return None
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            patch(module)

        spec.loader.exec_module = exec_module
        return spec


if "FAKETIME_TIMESTAMP_FILE" in os.environ:
    import select

    # libfaketime 0.9.10 takes a sleep until a monotonic time for a mistake (EINVAL).
    time.sleep = lambda seconds: select.select((), (), (), seconds)

if "FAULTS_RUNS" in os.environ:
    import importlib.util

    sys.meta_path.insert(0, Patching())
