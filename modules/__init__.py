"""The rooms of the sales-incentive scheduler; see docs/architecture.md for the plan of the house."""
