"""What the node asks of Pacemaker, afterwards: one module for each reason to ask."""
