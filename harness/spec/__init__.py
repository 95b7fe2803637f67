"""What a user writes: the grid file, its axes, its validation and its expansion into cells. No torch."""
