"""Coverage-guided fuzzing of the same checks, where atheris is installed (`pip install atheris`):

python tests/security/fuzz_atheris.py pictures|texts|names|multipart -max_total_time=120 [CORPUS]
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
try:
    import atheris
except ImportError:
    sys.exit("atheris is not installed here: pip install atheris")

with atheris.instrument_imports(include=["PIL", "beholder", "api", "python_multipart"]):
    from tests.security import checks, craft


def text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


TARGETS = {
    "pictures": checks.check_picture,
    "texts": lambda data: checks.check_text(text(data)),
    "names": lambda data: checks.check_name(text(data)),
    "multipart": lambda data: checks.check_multipart(data, "multipart/form-data; boundary=x"),
}


def main() -> None:
    """Run the target named first; what follows are libFuzzer's own options."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(__doc__)
    target = sys.argv.pop(1)
    with tempfile.TemporaryDirectory() as corpus:
        if target == "pictures":
            for number, seed in enumerate(craft.seeds()):
                Path(corpus, str(number)).write_bytes(seed)
        atheris.Setup([*sys.argv, corpus], TARGETS[target])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
