"""The dashboard's page: reads the state, the history and what the watch saw, and writes nothing."""
