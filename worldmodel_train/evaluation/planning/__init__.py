"""Whether a planner with a model reaches goals, and what else would."""
