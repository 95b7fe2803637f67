"""From the store's tidy tables to numbers with intervals: a pure function of the store, without torch."""
