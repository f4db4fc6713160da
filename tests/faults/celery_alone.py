"""What Celery over Redis does without Beholder's claims: an app for `test_celery_alone`."""

import os
import time
from pathlib import Path

from celery import Celery

app = Celery("alone", broker=os.environ["ALONE_BROKER"])
app.conf.update(
    broker_transport_options={"visibility_timeout": 5},
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
)


@app.task(name="note")
def note(name: str, seconds: float) -> None:
    """Say that the task has begun, and take a while."""
    with Path(os.environ["ALONE_LOG"]).open("a") as log:
        log.write(name + "\n")
    time.sleep(seconds)
