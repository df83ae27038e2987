"""From a text to its row in a column, without a table of Python objects."""

from bisect import bisect_left

import numpy as np

from headstart.data.columns import Column, ColumnWriter, Rows, Texts, parts


class Index:
    """Finds rows of a column by what stands in them; it takes eight bytes a row.

    A row's entry is the upper bits of its text's hash with the row's number in the lower ones. Entries are
    sorted, so those of one text follow one another, the first row first; whose hashes have the same upper
    bits are told apart by the texts themselves.

    Args:
        column: N texts.
        are_different: whether no text comes twice. Texts that are looked for as they lie there are found
            all at once then.
    """

    def __init__(self, column: Column, *, are_different: bool = False) -> None:
        self._column = column
        self._are_different = are_different
        self._row_bits = (1 << len(column).bit_length()) - 1
        self._mask = np.uint64(self._row_bits)
        writer = ColumnWriter(np.uint64)
        for part in parts(len(column)):
            rows = np.arange(part.start, part.stop, dtype=np.uint64)
            writer.write((column[part].hashes() & ~self._mask) | rows)
        self._entries = writer.finish()
        self._entries.sort()

    def find(self, wanted: Column) -> Rows:
        """Return int64 of shape (n,): the first row with each of n texts, -1 where there is none."""
        found = ColumnWriter(np.int64)
        for part in parts(len(wanted)):
            some = wanted[part]
            rows = self._find_run(some) if self._are_different else None
            found.write(self._find_some(some) if rows is None else rows)
        return found.finish()

    def rows_of(self, wanted: Column) -> Rows:
        """Return the same of texts that are all there.

        Raises:
            KeyError: one is not.
        """
        rows = self.find(wanted)
        if (missing := np.flatnonzero(rows < 0)).size:
            raise KeyError(wanted[int(missing[0])])
        return rows

    def _find_run(self, wanted: Column) -> Rows | None:
        """Return the rows of texts where they follow one another as they do in the column, else None."""
        first = int(self._find_some(wanted[:1])[0])
        run = self._column[first : first + len(wanted)]
        if first < 0 or len(run) < len(wanted) or not run.equals(wanted).all():
            return None
        return np.arange(first, first + len(wanted), dtype=np.int64)

    def _find_some(self, wanted: Column) -> Rows:
        found = np.full(len(wanted), -1, np.int64)
        if not len(self._entries):
            return found
        upper = wanted.hashes() & ~self._mask
        places = np.searchsorted(self._entries, upper)
        left = np.arange(len(wanted), dtype=np.int64)
        while True:
            entries = self._entries[np.minimum(places, len(self._entries) - 1)]
            alike = (places < len(self._entries)) & (entries & ~self._mask == upper)
            left, places, upper, entries = left[alike], places[alike], upper[alike], entries[alike]
            if not len(left):
                return found
            rows = (entries & self._mask).astype(np.int64)
            same = self._column.take(rows).equals(wanted.take(left))
            found[left[same]] = rows[same]
            left, places, upper = left[~same], places[~same] + 1, upper[~same]


class TextIndex(Index):
    """Finds single texts fast, too."""

    def __init__(self, column: Texts, *, are_different: bool = False) -> None:
        super().__init__(column, are_different=are_different)
        self._texts = column
        self._view = self._entries.data  # far faster for a single one

    def row(self, text: str) -> int:
        """Return the first row with a text, -1 where there is none."""
        entry = self._texts.hash_of(text) & ~self._row_bits
        place = bisect_left(self._view, entry)
        while place < len(self._view) and self._view[place] & ~self._row_bits == entry:
            row = self._view[place] & self._row_bits
            if self._texts[row] == text:
                return row
            place += 1
        return -1


def numbered(column: Column) -> Rows:
    """Return int64 of shape (N,): equal texts have one number, from 0 on in the order of their first rows."""
    index = Index(column)
    firsts, numbers, found = (ColumnWriter(np.int64) for _ in range(3))
    count = 0
    for part in parts(len(column)):
        first = index.find(column[part])
        is_first = first == np.arange(part.start, part.stop)
        firsts.write(first)
        numbers.write(count + np.cumsum(is_first) - 1)  # of those that are the first
        count += int(np.count_nonzero(is_first))
    all_firsts, all_numbers = firsts.finish(), numbers.finish()
    for part in parts(len(column)):
        found.write(all_numbers[all_firsts[part]])
    return found.finish()


def first_rows(numbers: Rows) -> Rows:
    """Return int64, ascending: the first row with each number, of those that `numbered` gave."""
    writer, count = ColumnWriter(np.int64), 0
    for part in parts(len(numbers)):
        new, places = np.unique(numbers[part], return_index=True)
        writer.write(part.start + places[new >= count])
        count = max(count, int(new[-1]) + 1)
    return writer.finish()
