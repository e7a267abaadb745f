"""The reward engine: pure functions from frames to frames, without I/O, clock or globals."""
