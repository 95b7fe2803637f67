"""What a cell reads: tasks, their splits, tokenizers and encoded examples. Nothing here imports torch."""
