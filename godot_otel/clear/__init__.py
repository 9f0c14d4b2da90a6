"""Deletes lines and spans for good: those before a moment, of a service; or lines of
one level, which spans do not have.

Works as the store's owner. What counts lines and finds traces is corrected in the same
transaction as the lines go, in one snapshot: a batch that is committed meanwhile is
either seen in all of it or in nothing, and maintenance that merges the same counts
makes this try again.

Without a service or level, partitions that are wholly before the moment are given up
as by retention: nobody sees their lines any more, and maintenance drops them. All else
is deleted by rows, a slice of time a transaction, so that tails and the collectors wait
for none of it. Dictionaries, the ledger and dead letters stay, and so does the audit.

Where a line comes into a minute that is being cleared, the first and last time of that
minute's counts may be off within it; the counts are not. What comes into a partition
that was given up goes with it, as by retention.
"""

from godot_otel.clear.choice import NEWEST, Choice, Cleared, Counts, choose
from godot_otel.clear.clearing import clear, count

__all__ = ["NEWEST", "Choice", "Cleared", "Counts", "choose", "clear", "count"]
