"""Networks: tubelet embedding, positions, attention, encoder, predictor."""
