"""What goes into a file that somebody may open with a spreadsheet."""

# What spreadsheets take for the beginning of a formula, in both widths.
_FORMULA = tuple("=+-@\t\r\0\uff1d\uff0b\uff0d\uff20")


def harmless(cell: str) -> str:
    """A cell that no spreadsheet runs as a formula."""
    return f"'{cell}" if cell.lstrip("\ufeff ").startswith(_FORMULA) else cell
