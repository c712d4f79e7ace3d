"""Self-contained HTML pages; `trainer.report` is the way in."""
