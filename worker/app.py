"""The Celery app, for those who send and those who take. A message is a bell: there is work.

The database is the truth, so delivery may lose or repeat a message: acknowledged early, no results,
no chords. The reasons, with figures, are in docs/decisions.md.
"""

from celery import Celery

from beholder.devices import DEFAULT_DEVICE, Device, DeviceClass, open_to
from beholder.urls import insist_on_redis

QUEUE = "beholder"
WORK = "beholder.work"
CONNECT_TIMEOUT_S = 2.0


def queue_name(device: Device) -> str:
    """Where bells for workers of a class lie, or those for any."""
    return QUEUE if device == DEFAULT_DEVICE else f"{QUEUE}.{device}"


def queues_of(device: DeviceClass) -> str:
    """What a worker of this class listens to, as Celery's --queues takes it."""
    return ",".join(map(queue_name, open_to(device)))


def make_app(broker_url: str) -> Celery:
    """A Celery app on this broker; connects to nothing yet. Raises InvalidInput for no Redis."""
    insist_on_redis(broker_url)
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
        # A child connects, and starts CUDA, before it reports for duty; after Celery's 4 s it would
        # be killed, and its successor too, for ever.
        worker_proc_alive_timeout=300.0,
        worker_prefetch_multiplier=1,
        # A bell that a busy worker fetched ahead would not wake an idle one.
        worker_disable_prefetch=True,
        # Else whoever reaches Redis could stop workers; Beholder asks the database about them.
        worker_enable_remote_control=False,
        worker_send_task_events=False,
    )
    return app
