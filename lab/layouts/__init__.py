"""What a move does to the nodes' own ways to AWS, in each layout, on a real cluster."""
