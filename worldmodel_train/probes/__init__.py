"""Classifiers on an encoder of another run: what of a label its features tell, frozen or tuned."""
