"""Value events from a hidden ledger: an array to which the story appends where an action is
value-laden.

The story declares `Array ledger_axis --> N;` and `Global ledger_count;`. An entry is the number of
an axis, 1 to 20 in the order of schwartz20, negative where the value is violated. Nothing of it is
ever printed.
"""

from valueagents.contracts.decision import Event
from valueagents.envs.parser_game.memory import MemoryMap, Ram, signed, word
from valueagents.errors import DataError
from valueagents.taxonomy import Taxonomy

COUNT, ENTRIES = "ledger_count", "ledger_axis"


class MemoryLedger:
    """Reads what was appended since the ledger had that count; keeps nothing."""

    def __init__(self, memory: MemoryMap, taxonomy: Taxonomy) -> None:
        self._count_address = memory.globals[COUNT]
        self._address, size_bytes = memory.arrays[ENTRIES]
        self._capacity = size_bytes // 2
        self._axes = taxonomy.axis_ids

    @staticmethod
    def is_in(memory: MemoryMap | None) -> bool:
        """True if the story keeps a ledger."""
        return memory is not None and COUNT in memory.globals and ENTRIES in memory.arrays

    def count(self, ram: Ram) -> int:
        """How many entries it has."""
        return word(ram, self._count_address)

    def events(self, first: int, ram: Ram) -> tuple[Event, ...]:
        """The entries from `first` on, in order.

        DataError: an entry that is not an axis, a full ledger.
        """
        last = self.count(ram)
        if last > self._capacity:
            raise DataError(
                f"the story's ledger counts {last} entries in room for {self._capacity}; enlarge"
                f" {ENTRIES}"
            )
        return tuple(
            self._event(signed(word(ram, self._address + 2 * i))) for i in range(first, last)
        )

    def _event(self, entry: int) -> Event:
        if not 1 <= abs(entry) <= len(self._axes):
            raise DataError(
                f"the story's ledger holds {entry}; an entry is an axis, 1 to {len(self._axes)},"
                " signed"
            )
        return Event(self._axes[abs(entry) - 1], 1.0 if entry > 0 else -1.0, "ledger")
