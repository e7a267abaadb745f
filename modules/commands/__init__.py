"""The commands of main.py beside the daemon's own: one file for each thing that a person comes for."""
