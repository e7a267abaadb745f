"""Figures for people: what the ledger and the queue add up to. Aggregates in SQL, the rest pure; money in fen."""
