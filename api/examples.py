"""What answers look like, for OpenAPI. A test holds their keys to those of the real rows."""

from typing import Any

SHA256 = "5ef9a1c9b0d3e0b7a2a1c3de7a0d2b1f8e6c4f9d7b3a1e5c2d8f6a4b9c7e1d3f"
_TIMES = {
    "created_at": "2026-11-23T20:53:16.120000+00:00",
    "started_at": "2026-11-23T20:53:17.004000+00:00",
    "finished_at": None,
}

JOB: dict[str, Any] = {
    "id": "k3v8m2q0zt",
    "kind": "dream",
    "state": "running",
    "name": "kelpies",
    "priority": "normal",
    "device": "any",
    "stage": "dream",
    "total": 10,
    "queued": 4,
    "running": 2,
    "done": 4,
    "failed": 0,
    "cancelled": 0,
    "measured": 0,
    "error": None,
    "network": "vgg19",
    "network_sha256": SHA256,
    "target_pictures": None,
    "control_pictures": None,
    **_TIMES,
    "spec": {"network": "vgg19", "size": 224, "layers": [30, 35], "steps": 30},
    "paused": None,
    "waits": None,
}

OVERVIEW: dict[str, Any] = {
    "precisions": ["float32"],
    "silent": 0,
    "summary": {"targets": 0, "targets_kept": 0, "controls": 0, "controls_kept": 0},
    "chosen": [],
}

WORKER: dict[str, Any] = {
    "name": "rack3-4711-9f86d0",
    "host": "rack3",
    "pid": 4711,
    "device": "cuda:0",
    "device_class": "gpu",
    "state": "running",
    "job": "k3v8m2q0zt",
    "chunk": 1234,
    "since": "2026-11-23T20:53:18.250000+00:00",
    "progress": 0.4,
    "in_hand": 3,
    "items": 812,
    "rate": 6.25,
    "reason": None,
    "gpu_bytes": 2147483648,
    "started_at": "2026-11-23T20:50:00.120000+00:00",
    "seen_at": "2026-11-23T20:53:20.004000+00:00",
}

ITEM: dict[str, Any] = {
    "id": 17,
    "job_id": "k3v8m2q0zt",
    "position": 0,
    "state": "done",
    "source": "kelpies/kelpie1.jpg",
    "role": None,
    "group": "kelpies",
    "layer": 30,
    "seed": None,
    "picture_sha256": SHA256,
    "error": None,
    "seconds": 1.25,
    "result": {"objective": [12.5, 14.25, 17.0]},
    "files": [
        {
            "step": 30,
            "path": "results/k3v8m2q0zt/5c0f/0.png",
            "sha256": SHA256,
            "bytes": 81234,
            "width": 224,
            "height": 224,
        }
    ],
    "verdicts": {},
}

PICTURE_ROW: dict[str, Any] = {
    "sha256": SHA256,
    "width": 640,
    "height": 480,
    "format": "JPEG",
    "bytes": 81234,
}

UPLOAD: dict[str, Any] = {
    "id": "8f14e45fceea167a",
    "bytes": 5_000_000,
    "sha256": SHA256,
    "offset": 1_048_576,
    "picture": None,
}

VERDICT: dict[str, Any] = {
    "study": "b7c2d9e4fa",
    "position": 0,
    "source": "kelpies/kelpie1.jpg",
    "role": "target",
    "group": "kelpies",
    "kind": "intact",
    "label": "kelpie",
    "class_index": 227,
    "confidence": 0.9288,
    "top5": [["kelpie", 0.9288], ["dingo", 0.0211]],
}

CHANNEL: dict[str, Any] = {
    "study": "b7c2d9e4fa",
    "layer": 35,
    "layer_name": "relu5_4",
    "channel": 137,
    "count": 5,
    "controls": 1,
    "mean": 61.5,
    "deviation": 4.2,
    "maximum": 70.1,
    "control_mean": 12.9,
    "control_deviation": 2.2,
    "control_maximum": 19.0,
    "chosen": True,
    "rank": 3,
    "score": 1.25,
}

RECORD: dict[str, Any] = {
    "network": "vgg19",
    "network_sha256": SHA256,
    "size": "224",
    "normalize": False,
    "layer": 35,
    "layer_name": "relu5_4",
    "channel": 137,
    "n": 120,
    "active": 84,
    "fraction_active": 0.7,
    "always_on": False,
    "dead": False,
    "classes": [
        {
            "class": "kelpie",
            "n": 60,
            "active": 60,
            "fraction_active": 1.0,
            "mean": 61.5,
            "deviation": 4.2,
            "maximum": 70.1,
            "sum": 3690.0,
            "squares": 227993.4,
            "studies": 2,
            "as_target": 2,
        }
    ],
    "studies": ["b7c2d9e4fa"],
    "chosen_in": ["b7c2d9e4fa"],
    "effects": [
        {
            "study": "b7c2d9e4fa",
            "target": "kelpie",
            "method": "iterative",
            "rank": 3,
            "score": 1.25,
            "effect": -0.41,
            "effect_low": -0.52,
            "effect_high": -0.3,
            "control_effect": -0.02,
            "control_effect_low": -0.06,
            "control_effect_high": 0.01,
        }
    ],
    "correlated": {"study": "b7c2d9e4fa", "channels": [[12, 0.83]]},
    "exemplars": [
        {
            "study": "b7c2d9e4fa",
            "position": 0,
            "picture_sha256": SHA256,
            "source": "kelpies/kelpie1.jpg",
            "role": "target",
            "group": "kelpies",
            "strength": 70.1,
            "kind": "strongest",
            "region": [0.25, 0.125, 0.5, 0.375],
        }
    ],
    "dreams": [],
}

LAYER: dict[str, Any] = {
    "layer": 35,
    "name": "relu5_4",
    "kind": "relu",
    "channels": 512,
    "stride": 16,
    "receptive_field": 252,
}

NETWORK: dict[str, Any] = {
    "name": "specimens",
    "summary": "built in: a quarter-width VGG19 trained on drawn patterns",
    "here": True,
    "default": False,
}

RECIPE: dict[str, Any] = {
    "name": "deepdream",
    "summary": "octaves from small to large, jitter, even steps: the well-known look",
    "source": "Mordvintsev, Olah, Tyka: Inceptionism (2015)",
    "defaults": {"octaves": 4, "octave_scale": 1.4, "jitter": 32},
}

PROGRESS: dict[str, Any] = {
    "job_id": "k3v8m2q0zt",
    "kind": "dream",
    "state": "running",
    "stage": "dream",
    "total": 10,
    "queued": 4,
    "running": 2,
    "done": 4,
    "failed": 0,
    "cancelled": 0,
    "measured": 0,
    "error": None,
    "paused": None,
    "waits": None,
    "completed": 4.75,
    "rate": 0.8,
    "seconds_left": 6.6,
    "latest": [
        {
            "position": 3,
            "source": "kelpies/kelpie4.jpg",
            "layer": 30,
            "step": 30,
            "sha256": SHA256,
            "url": "/v1/jobs/k3v8m2q0zt/items/3/pictures/30",
            "thumbnail": "/v1/jobs/k3v8m2q0zt/items/3/pictures/30?thumb=256",
        }
    ],
}


FEATURES: dict[str, Any] = {
    "queued": [{"job": "k3v8m2q0zt", "layer": 35, "channel": 137}],
    "there": [[35, 4]],
    "left": 12,
    "other": 0,
}

CHANNEL_DREAM: dict[str, Any] = {
    "channel": 137,
    "job": "k3v8m2q0zt",
    "position": 0,
    "file": ITEM["files"][0],
}

OVERLAP: dict[str, Any] = {
    "first": "b7c2d9e4fa",
    "second": "0jx4k2m8qz",
    "alike": True,
    "jaccard": 0.5,
    "expected": 0.01,
    "p": 0.01,
    "shared": [[35, 137]],
    "only_first": [[35, 4]],
    "only_second": [],
    "layers": [
        {
            "layer": 35,
            "layer_name": "relu5_4",
            "width": 512,
            "first": 2,
            "second": 1,
            "shared": 1,
            "expected": 0.01,
        }
    ],
}

CONTRAST: dict[str, Any] = {
    "inputs": {"network": "vgg19", "network_sha256": SHA256, "size": "224", "normalize": False},
    "labels": {"kelpie": 60},
    "others": {"all others": 240},
    "elsewhere": [],
    "channels": [
        {
            "layer": 35,
            "layer_name": "relu5_4",
            "channel": 137,
            "difference": 2.5,
            "label": "kelpie",
            "mean": 61.5,
            "active": 1.0,
            "other": "all others",
            "other_mean": 12.9,
            "other_active": 0.4,
        }
    ],
}

SERVER: dict[str, Any] = {
    "version": "0.1.0",
    "api": 1,
    "caller": {"name": "ada", "scope": "submit"},
    "network": "vgg19",
    "limits": {"bytes": 67_108_864, "pixels": 100_000_000},
    "workers": [{"name": "rack1-4711", "device": "cuda:0", "paused": None}],
}


def example(value: Any) -> dict[str, Any]:
    """A route's `responses` entry for 200 with this example."""
    return {"description": "OK", "content": {"application/json": {"example": value}}}
