"""What the node knows: facts on the board, and what outlives a restart on disk. No judgement."""
