"""The specification of the protocol, in Promela, and the commands that check it with Spin."""
