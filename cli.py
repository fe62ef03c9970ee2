"""`shimzoo ...`: a thin front of typer over the rooms."""
