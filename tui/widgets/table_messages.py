"""What a table posts; its handlers are ``on_virtual_table_opened`` and so on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from tui.widgets.table import VirtualTable


class TableMessage(Message, namespace="virtual_table"):
    """A message of a table."""

    def __init__(self, table: VirtualTable) -> None:
        super().__init__()
        self.table = table

    @property
    def control(self) -> VirtualTable:
        """The table."""
        return self.table


class Highlighted(TableMessage, namespace="virtual_table"):
    """The cursor is on another row; ``row_id`` is None where there is none."""

    def __init__(self, table: VirtualTable, row_id: str | None) -> None:
        super().__init__(table)
        self.row_id = row_id


class Opened(TableMessage, namespace="virtual_table"):
    """Enter or a double click on a row."""

    def __init__(self, table: VirtualTable, row_id: str) -> None:
        super().__init__(table)
        self.row_id = row_id


class Marked(TableMessage, namespace="virtual_table"):
    """The set of marked rows is another."""


class Loaded(TableMessage, namespace="virtual_table"):
    """Rows came: ``total`` and what is shown may be others."""
