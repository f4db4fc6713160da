"""The computation: torch, pillow, numpy and safetensors only; usable from a notebook.

Read in this order: `networks` (which network), `inputs` (pictures as tensors), `dream` (gradient
ascent), `measure` (channel strengths), `statistics` (which channels a group shares), `blind`
(without them), `scores`, `attribution` and `greedy` (which channels a class needs). `weights` and
`download` are what `networks` stands on. docs/science.md walks through all of it. Nothing is loaded
by importing this package itself.
"""
