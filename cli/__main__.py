"""`python -m cli`: the `beholder` command where it is not on the PATH."""

from cli.main import run

if __name__ == "__main__":
    run()
