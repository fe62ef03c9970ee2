"""What a restoring did, for people and for programs."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from .checkpoint import FORMAT_NAMES, TensorSpec
from .scratch import scratch_directory


@dataclasses.dataclass(frozen=True)
class RestoreReport:
    """What `restore` did.

    Args:
        path: The file that was read, or the prefix of the `.index` and `.data` files.
        format: `"tf1"`, `"tf2"`, `"h5"`, `"keras"`, `"safetensors"` or `"graph"`.
        restored: TF1 names of the variables that were filled -> names of the tensors in the file.
        specs: Shape and dtype of each of them, by TF1 name.
        excluded: TF1 names of the variables that kept their values, as `exclude` says.
        left_out: Names in the file that are no model's, by kind: `"optimizer slots"`,
            `"optimizer counters"`, `"moving averages"`, `"values beside averages"`,
            `"replicas' copies"`, `"global step"`, `"excluded"`, `"not renamed"`.
        is_averaged: Whether the values are moving averages.
        offers_averages: Whether they are not, though every trainable variable has one, and
            `ema=True` would take them.
    """

    path: Path
    format: str
    restored: dict[str, str]
    specs: dict[str, TensorSpec]
    excluded: tuple[str, ...]
    left_out: dict[str, tuple[str, ...]]
    is_averaged: bool
    offers_averages: bool = False

    def __str__(self) -> str:
        return self.in_words()

    def in_words(self, excluded: str = "keep their values") -> str:
        """What was restored and what was not, in a sentence.

        Args:
            excluded: What becomes of the variables that were excluded.
        """
        averaged = " (moving averages)" if self.is_averaged else ""
        text = f"Restored {len(self.restored)} variables{averaged} from {self.path} ({self.format})"
        if self.excluded:
            text += f"; excluded {len(self.excluded)}, which {excluded}"
        left_out = {
            kind: names
            for kind, names in self.left_out.items()
            if not (kind == "excluded" and self.excluded)  # Said already.
        }
        if left_out:
            kinds = ", ".join(f"{len(names)} {kind}" for kind, names in left_out.items())
            text += f"; left out {kinds}"
        if self.offers_averages:
            text += ". Every trainable variable has a moving average: ema=True (--ema yes) takes it"
        return text + "."

    def table(self) -> str:
        """A line for each variable: its name, shape and dtype, and the tensor it came from."""
        rows = [("variable", "shape and dtype", f"tensor of the {FORMAT_NAMES[self.format]}")]
        rows += [(name, str(self.specs[name]), tensor) for name, tensor in self.restored.items()]
        rows += [(name, "", "(excluded: kept its value)") for name in self.excluded]
        rows += [
            ("(left out)", kind, tensor)
            for kind, names in self.left_out.items()
            for tensor in names
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(2)]
        lines = [f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}" for row in rows]
        return "\n".join([*lines, str(self)])

    def save(self, path: str | Path) -> None:
        """Writes the report as JSON, or leaves what is there as it was; makes missing directories.

        Args:
            path: The file.

        Raises:
            OSError: It can't be written.
        """
        path = Path(path)
        values = {**dataclasses.asdict(self), "path": str(self.path)}
        with scratch_directory(path) as scratch:
            written = scratch / path.name
            written.write_text(json.dumps(values, indent=2) + "\n")
            written.replace(path)
