"""What is carried out on a node: `probe.py` as a file, and the commands around it."""
