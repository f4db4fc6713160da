"""The Celery app, for those who send and those who take. A message is a bell: there is work.

The database is the truth, so delivery may lose or repeat a message: acknowledged early, no results,
no chords. The reasons, with figures, are in docs/decisions.md.
"""

from celery import Celery

QUEUE = "beholder"
WORK = "beholder.work"
CONNECT_TIMEOUT_S = 2.0


def make_app(broker_url: str) -> Celery:
    """A Celery app on this broker; connects to nothing yet."""
    app = Celery("beholder", broker=broker_url, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        broker_connection_max_retries=None,
        broker_connection_retry_on_startup=True,
        broker_connection_timeout=CONNECT_TIMEOUT_S,
        broker_transport_options={
            "socket_connect_timeout": CONNECT_TIMEOUT_S,
            "socket_timeout": 30.0,
            "socket_keepalive": not broker_url.startswith("redis+socket"),
            "health_check_interval": 10,
        },
        result_backend=None,
        task_acks_late=False,
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_serializer="json",
        worker_hijack_root_logger=False,
        # A child imports torch before it reports for duty; after Celery's 4 s it would be killed,
        # and its successor too, for ever.
        worker_proc_alive_timeout=300.0,
        worker_prefetch_multiplier=1,
        # A bell that a busy worker fetched ahead would not wake an idle one.
        worker_disable_prefetch=True,
        worker_send_task_events=False,
    )
    return app
