"""What Beholder and some extras need of others, one a line: `python requirements.py EXTRA ...`.

For the Dockerfile, which installs that before it sees Beholder's own code. Reads pyproject.toml in
the folder where it runs.
"""

import sys
import tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
print(*project["dependencies"], sep="\n")
for extra in sys.argv[1:]:
    print(*project["optional-dependencies"][extra], sep="\n")
