"""The same trials for a bare Dummy, for `ocf:heartbeat:awseip` and for the project itself."""
