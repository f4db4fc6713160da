"""Live progress: one poller for all watchers."""

from beholder.jobs.database import Database


class Live:
    """Looks at each watched job once, whoever many watch it."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def close(self) -> None:
        """Stop looking."""
