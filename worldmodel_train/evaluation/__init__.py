"""Measures a trained model on held-out clips and writes the report."""
