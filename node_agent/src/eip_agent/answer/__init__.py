"""What the node is asked: the resource agent's and the alert's questions, over the local socket."""
