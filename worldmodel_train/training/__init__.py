"""Trains any Objective: steps, schedules, EMA, checkpoints, monitors."""
