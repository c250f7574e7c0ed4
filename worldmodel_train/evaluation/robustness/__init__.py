"""How far features move when clips are corrupted."""
