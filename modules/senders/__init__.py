"""One file per way out of the house; each turns a recipient and a text into an `Outcome`."""
