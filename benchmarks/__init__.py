"""The speed figures, each against a reference in the same run; docs/performance.md says how.

`harness` is what all of them stand on. `rates` and `article` are the yardsticks of `science`, and
`peers` are two more. `python -m benchmarks` runs all; `report` writes the tables of the page.
"""
