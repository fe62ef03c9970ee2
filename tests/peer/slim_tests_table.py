"""What is expected of TF-Slim's own tests: `slim_tests.json`."""

import json
from pathlib import Path

_TABLE = json.loads(Path(__file__).with_name("slim_tests.json").read_text())

# Key of a reason -> the reason.
REASONS: dict[str, str] = _TABLE["reasons"]
# Module -> {"tests": how many, skipped ones too, "exceptions": {"Class.test": key of a reason}}.
FILES: dict[str, dict] = _TABLE["files"]
