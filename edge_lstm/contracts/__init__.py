"""Data that crosses a boundary: frozen records, no behaviour beyond their own text form."""
