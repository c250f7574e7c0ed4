"""How acting becomes data: episodes of a run that acts while it trains."""
