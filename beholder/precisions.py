"""What a dream may ask for as precision. `science.prefix` computes it; this loads no torch."""

from typing import Literal

DreamPrecision = Literal["auto", "exact", "float32", "tf32", "bf16"]

PRECISIONS: tuple[DreamPrecision, ...] = ("auto", "exact", "float32", "tf32", "bf16")
DEFAULT_PRECISION: DreamPrecision = "auto"
ELSEWHERE: dict[str, DreamPrecision] = {  # what others call them
    "bfloat16": "bf16",
    "f32": "float32",
    "fp32": "float32",
    "float": "float32",
    "tensorfloat32": "tf32",
}
