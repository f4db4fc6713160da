"""Studies' reports as pages, the latest of them kept in memory: `Reports`."""

import threading
from collections import OrderedDict

from anyio import CapacityLimiter, to_thread
from starlette.responses import HTMLResponse

from beholder.evidence.stored import read_evidence
from beholder.jobs.database import Database
from beholder.jobs.queries import evidence_path
from beholder.jobs.views import JobView
from beholder.report.needs import require_drawing
from beholder.store import Store

KEPT = 8  # pages, of a megabyte or two
THREADS = 2  # of their own: only one draws at a time, and the server's others stay free


class Reports:
    """Pages by study and by what they show; safe to share between threads."""

    def __init__(self, db: Database, store: Store, max_pixels: int) -> None:
        self._db, self._store, self._max_pixels = db, store, max_pixels
        self._kept: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._lock = threading.Lock()
        self._threads = CapacityLimiter(THREADS)

    async def answer(self, job: JobView) -> HTMLResponse:
        """The report of this study. Raises what `read_evidence` does, and NotInstalled."""
        return await to_thread.run_sync(self._answer, job, limiter=self._threads)

    def _answer(self, job: JobView) -> HTMLResponse:
        with self._lock:  # whoever asks for the same page waits for it instead of drawing it too
            text, policy = self._page(job)
        headers = {
            "Content-Security-Policy": f"{policy}; frame-ancestors 'none'",
            "Cache-Control": "no-store",
        }
        return HTMLResponse(text, headers=headers)

    def _page(self, job: JobView) -> tuple[str, str]:
        """The page, and what it lets a browser do."""
        path = evidence_path(self._db, job.id)
        evidence = read_evidence(self._store, job, path)
        require_drawing()
        from beholder.report.material import fetch, find
        from beholder.report.page import content_policy, render_page

        found = find(self._db, job, evidence)
        key = str(path), found.key
        if key not in self._kept:
            material = fetch(self._store, found, max_pixels=self._max_pixels)
            self._kept[key] = render_page(evidence, material)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key], content_policy()
